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
    keep_pages_small();
    gateway::cli::main()
}

/// Keeps the kernel from backing the allocator's arenas with pages of 2 MiB, of which a gateway at
/// rest uses a few KiB each: with them it held 21 MB beside its code, without them 6.
fn keep_pages_small() {
    #[cfg(target_os = "linux")]
    if rustix::thread::disable_transparent_huge_pages(true).is_err() {
        // A kernel without huge pages: there is nothing to keep small.
    }
}
