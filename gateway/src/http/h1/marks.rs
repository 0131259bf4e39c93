//! Looks at many bytes at once: which of them are what.
use wide::u8x16;

/// Bytes that are marked together.
pub(crate) const BLOCK: usize = 64;
/// The same of hosts: most are no longer.
pub(crate) const HOST_BLOCK: usize = 32;
/// Bytes that are compared at once.
const LANES: usize = 16;
/// Stands where no byte is: part of no token, and no control byte.
const NOTHING: u8 = b' ';

/// Which of the first [`BLOCK`] bytes are control bytes other than tabs: bit n tells of byte n.
pub(crate) fn controls(bytes: &[u8]) -> u64 {
    let [controls] = masks::<BLOCK, _>(bytes, |lanes| [control(lanes)]);
    controls
}

/// What up to [`HOST_BLOCK`] bytes of a host are: bit n tells of byte n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostMarks {
    /// What names are made of: letters, digits, hyphens, underscores and dots.
    pub(crate) fit: u64,
    /// The dots.
    pub(crate) dots: u64,
    /// The capital letters.
    pub(crate) capitals: u64,
}

impl HostMarks {
    /// Of the first bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let [fit, dots, capitals] = masks::<HOST_BLOCK, _>(bytes, |lanes| {
            let is = |byte| lanes.cmp_eq(u8x16::splat(byte));
            let dot = is(b'.');
            let capital = up_to(lanes - u8x16::splat(b'A'), 25);
            [alphanumeric(lanes) | is(b'-') | is(b'_') | dot, dot, capital]
        });
        Self { fit, dots, capitals }
    }
}

/// Which of the first `SIZE` bytes are of each of some classes.
#[inline]
fn masks<const SIZE: usize, const COUNT: usize>(
    bytes: &[u8],
    classes: impl Fn(u8x16) -> [u8x16; COUNT],
) -> [u64; COUNT] {
    let copy;
    let block: &[u8; SIZE] = if let Some(block) = bytes.first_chunk() {
        block
    } else {
        copy = padded(bytes);
        &copy
    };
    let mut masks = [0; COUNT];
    for (at, lanes) in block.as_chunks::<LANES>().0.iter().enumerate() {
        for (mask, lanes) in masks.iter_mut().zip(classes(u8x16::new(*lanes))) {
            *mask |= bits(lanes) << (at * LANES);
        }
    }
    masks
}

/// How many bytes at the beginning are letters, digits or hyphens: what names are made of.
pub(crate) fn words(bytes: &[u8]) -> usize {
    leading(bytes, |lanes| alphanumeric(lanes) | lanes.cmp_eq(u8x16::splat(b'-')))
}

/// How many bytes at the beginning are visible ASCII, and no `#`: what targets are made of.
pub(crate) fn target(bytes: &[u8]) -> usize {
    leading(bytes, |lanes| {
        let visible = up_to(lanes - u8x16::splat(0x21), 0x7e - 0x21);
        visible & !lanes.cmp_eq(u8x16::splat(b'#'))
    })
}

/// How many bytes at the beginning are no control bytes, or tabs.
pub(crate) fn text(bytes: &[u8]) -> usize {
    leading(bytes, |lanes| !control(lanes))
}

/// How many bytes at the beginning are of a class.
#[inline]
fn leading(bytes: &[u8], class: impl Fn(u8x16) -> u8x16) -> usize {
    let mut count = 0;
    let mut rest = bytes;
    while let Some((block, behind)) = rest.split_first_chunk() {
        let here = ones(*block, &class);
        count += here;
        if here < LANES {
            return count;
        }
        rest = behind;
    }
    // Where nothing is, a class may hold.
    count + ones(padded(rest), class).min(rest.len())
}

/// How many of them.
#[inline]
fn ones(block: [u8; LANES], class: impl Fn(u8x16) -> u8x16) -> usize {
    bits(class(u8x16::new(block))).trailing_ones() as usize
}

/// Fewer bytes than are looked at, with nothing behind them.
#[inline]
fn padded<const COUNT: usize>(bytes: &[u8]) -> [u8; COUNT] {
    let mut padded = [NOTHING; COUNT];
    if let Some(room) = padded.get_mut(..bytes.len()) {
        room.copy_from_slice(bytes);
    }
    padded
}

/// Which lanes are control bytes other than tabs.
#[inline]
fn control(lanes: u8x16) -> u8x16 {
    let is = |byte| lanes.cmp_eq(u8x16::splat(byte));
    (up_to(lanes, 0x1f) & !is(b'\t')) | is(0x7f)
}

/// Which lanes are letters or digits.
#[inline]
fn alphanumeric(lanes: u8x16) -> u8x16 {
    let letter = up_to((lanes | u8x16::splat(0x20)) - u8x16::splat(b'a'), 25);
    letter | up_to(lanes - u8x16::splat(b'0'), 9)
}

/// Which lanes are `most` at most.
#[inline]
fn up_to(lanes: u8x16, most: u8) -> u8x16 {
    lanes.min(u8x16::splat(most)).cmp_eq(lanes)
}

/// One bit for each lane.
#[inline]
#[expect(clippy::cast_sign_loss, reason = "16 bits of 32 are in use")]
fn bits(lanes: u8x16) -> u64 {
    u64::from(lanes.move_mask() as u32)
}

#[cfg(test)]
mod tests;
