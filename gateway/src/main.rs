//! The program `spanway`.

use std::process::ExitCode;

// One allocator that gives memory back and scales over threads: the image is static, and the C
// library's own does neither. It takes the place of `malloc`, which Rust calls as C does: as a global
// allocator of Rust it would be asked for an alignment each time, which is a slower way.
use mimalloc as _;

fn main() -> ExitCode {
    keep_pages_small();
    // Before anything of pingora, which would install another one.
    let installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    debug_assert!(installed.is_ok(), "nothing was installed before");
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
