//! Which bytes may stand where.

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
    is_letters(bytes) || (!bytes.is_empty() && bytes.iter().all(|&b| is_token_byte(b)))
}

/// Letters and hyphens, at least one: what nearly all names of fields are made of.
pub(crate) fn is_letters(bytes: &[u8]) -> bool {
    let is_letter = |&b: &u8| b.is_ascii_alphabetic() || b == b'-';
    let (words, rest) = bytes.as_chunks::<8>();
    !bytes.is_empty()
        && words.iter().all(|word| are_letters(u64::from_ne_bytes(*word)))
        && rest.iter().all(is_letter)
}

/// A control byte other than tab. Bytes above ASCII are allowed in values.
#[inline]
const fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// The same byte eight times.
const fn eight(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Whether some byte of the word is below `limit` (at most 128).
#[inline]
const fn has_below(word: u64, limit: u8) -> bool {
    word.wrapping_sub(eight(limit)) & !word & eight(0x80) != 0
}

/// Whether all eight bytes are letters or hyphens.
#[inline]
const fn are_letters(word: u64) -> bool {
    const HIGH: u64 = eight(0x80);
    // Each sum stays within its byte, whose high bit then tells the comparison.
    let low = word & !HIGH;
    let small = low | eight(0x20);
    let from_a = small + eight(0x80 - b'a');
    let beyond_z = small + eight(0x7f - b'z');
    let other_than_hyphen = (low ^ eight(b'-')) + eight(0x7f);
    word & HIGH == 0 && ((from_a & !beyond_z) | !other_than_hyphen) & HIGH == HIGH
}

/// How many carriage returns there are, if they, tabs and line feeds are the only control bytes.
pub(crate) fn carriage_returns(bytes: &[u8]) -> Option<usize> {
    // Few enough for a byte to count them, and plain enough for the compiler to take many at once.
    const AT_ONCE: usize = 128;
    let (mut count, mut is_bad) = (0, false);
    for part in bytes.chunks(AT_ONCE) {
        let (mut here, mut bad) = (0_u8, 0_u8);
        for &byte in part {
            let is = |one| u8::from(byte == one);
            let known = is(b'\t') | is(b'\n') | is(b'\r');
            here += is(b'\r');
            bad |= (u8::from(byte < 0x20) ^ known) | is(0x7f);
        }
        count += usize::from(here);
        is_bad |= bad != 0;
    }
    (!is_bad).then_some(count)
}

/// Whether eight bytes, taken at once, are beyond doubt; `false` asks for a closer look.
#[inline]
fn all_words(bytes: &[u8], sure: impl Fn(u64) -> bool, closer: impl Fn(&[u8]) -> bool) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().all(|word| sure(u64::from_ne_bytes(*word)) || closer(word)) && closer(rest)
}

/// No control byte but tab.
#[inline]
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    let sure = |word| !has_below(word, 0x20) && !has_below(word ^ eight(0x7f), 1);
    all_words(bytes, sure, |few| !few.iter().any(|&b| is_control(b)))
}

/// Visible ASCII, at least one.
pub(crate) fn is_visible(bytes: &[u8]) -> bool {
    let sure = |word: u64| {
        !has_below(word, 0x21) && (word | word.wrapping_add(eight(1))) & eight(0x80) == 0
    };
    !bytes.is_empty() && all_words(bytes, sure, |few| few.iter().all(|b| (0x21..=0x7e).contains(b)))
}

/// Without the spaces and tabs around it.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    trim_end(trim_start(bytes))
}

/// Without the spaces and tabs behind it.
pub(crate) fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Without the spaces and tabs before it.
pub(crate) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// The members of a comma-separated list, without empty ones.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(trim).filter(|member| !member.is_empty())
}

/// The same, and lower case: a prefix without regard to case.
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
