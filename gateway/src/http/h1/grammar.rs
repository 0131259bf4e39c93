//! Which bytes may stand where.

use super::marks;

const fn token_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "byte is below 256")]
        let b = byte as u8;
        #[expect(clippy::indexing_slicing, reason = "byte is below 256")]
        {
            table[byte] = b.is_ascii_alphanumeric()
                || matches!(
                    b,
                    b'!' | b'#'
                        | b'$'
                        | b'%'
                        | b'&'
                        | b'\''
                        | b'*'
                        | b'+'
                        | b'-'
                        | b'.'
                        | b'^'
                        | b'_'
                        | b'`'
                        | b'|'
                        | b'~'
                );
        }
        byte += 1;
    }
    table
}

static TOKEN: [bool; 256] = token_table();

/// A byte of a token.
#[inline]
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or(false)
}

/// At least one byte, all of a token.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    let rest = bytes.get(marks::words(bytes)..).unwrap_or_default();
    !bytes.is_empty() && rest.iter().all(|&b| is_token_byte(b))
}

/// No control byte but tab; bytes above ASCII are allowed.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    marks::text(bytes) == bytes.len()
}

/// Without the spaces and tabs around it.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    trim_end(trim_start(bytes))
}

/// Without the spaces and tabs behind it.
pub(crate) fn trim_end(mut bytes: &[u8]) -> &[u8] {
    // Nearly all values have none.
    if matches!(bytes, [.., last] if *last > b' ') {
        return bytes;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Without the spaces and tabs before it.
pub(crate) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    // Nearly all values have one space.
    if let [b' ', rest @ ..] = bytes
        && matches!(rest, [first, ..] if *first > b' ')
    {
        return rest;
    }
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// The members of a comma-separated list, without empty ones.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(trim).filter(|member| !member.is_empty())
}

/// Whether two names are the same, without regard to case. Nearly all that are have the same case,
/// too, and of those that only begin alike most end differently.
#[inline]
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    let last = |name: &[u8]| name.last().map(u8::to_ascii_lowercase);
    one.len() == other.len()
        && (one == other || (last(one) == last(other) && one.eq_ignore_ascii_case(other)))
}

/// Whether the prefix stands there, without regard to case.
pub(crate) fn starts_with_ignore_case(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Hexadecimal digits as a number; `None` if there is none, too many, or another byte.
pub(crate) fn hex(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > super::limits::CHUNK_SIZE_DIGITS {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, &b| {
        let digit = match b {
            b'0'..=b'9' => b - b'0',
            b'a'..=b'f' => b - b'a' + 10,
            b'A'..=b'F' => b - b'A' + 10,
            _ => return None,
        };
        Some(sum << 4 | u64::from(digit))
    })
}

/// A plain decimal number of at most 18 digits without a leading zero.
pub(crate) fn length(digits: &[u8]) -> Option<u64> {
    match digits {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 18 => digits
            .iter()
            .try_fold(0_u64, |sum, &b| b.is_ascii_digit().then(|| sum * 10 + u64::from(b - b'0'))),
        _ => None,
    }
}
