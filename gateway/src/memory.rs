//! Receive buffers, and memory that is free: it goes back to the system.

use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Bytes at the beginning of a receive buffer that stay unused.
///
/// A TLS record is gathered 5 bytes behind the beginning of a page. Copied there from the beginning of
/// another, each load waits for a store before it that only looks like its own, because their
/// addresses agree in the lower 12 bits: a sixth of all that a bulk transfer took.
pub const LEAD_BYTES: usize = 2048;

/// A buffer that receives so many bytes behind its lead.
pub fn receive_buffer(bytes: usize) -> Vec<u8> {
    vec![0; LEAD_BYTES + bytes]
}

/// A block that the allocator keeps in no size class: it gets pages of its own, and gives them up
/// with the block. Nothing is written to it, so that it is never backed by memory.
const BLOCK_BYTES: usize = 4 * 1024 * 1024;

/// Lets the allocator give back what has been free for a second.
///
/// It does so only when it next gives up pages, which a process at rest never does: after ten
/// thousand connections all that they had used would stay.
pub fn give_back() {
    drop(black_box(Vec::<u8>::with_capacity(black_box(BLOCK_BYTES))));
}

/// How often a thread without a beat of its own gives back.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(1);

/// The same for threads that are asked whenever they have nothing to do: each does it now and then.
pub fn give_back_at_rest() {
    thread_local! {
        static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    let now = Instant::now();
    let due = |last: Instant| now.duration_since(last) >= GIVE_BACK_EVERY;
    if LAST.get().is_none_or(due) {
        LAST.set(Some(now));
        give_back();
    }
}
