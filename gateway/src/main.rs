//! The program `spanway`.

use std::process::ExitCode;

/// One allocator that gives memory back and scales over threads: the image is static, and the
/// C library's own does neither.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // First of all: pingora would install another one.
    let installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    debug_assert!(installed.is_ok(), "nothing was installed before");
    gateway::cli::main()
}
