//! Memory that is free goes back to the system.

use std::hint::black_box;

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
