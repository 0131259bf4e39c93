//! Request ids and `traceparent` (W3C Trace Context, level 1).

/// The longest request id that is taken over from a client: a UUID with room to spare.
const REQUEST_ID_LENGTH_MAX: usize = 64;

/// Names one request in logs, in `x-request-id` and in error answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId {
    text: [u8; REQUEST_ID_LENGTH_MAX],
    length: usize,
}

impl RequestId {
    /// Takes over what the client sent if it is short and harmless, else makes one of `chance`.
    pub fn take_or_make(sent: Option<&[u8]>, chance: &mut impl FnMut() -> u64) -> Self {
        match sent.filter(|sent| is_harmless(sent)) {
            Some(sent) => Self::of(sent),
            None => Self::of(&digits::<32>(wide(chance))),
        }
    }

    fn of(id: &[u8]) -> Self {
        let mut text = [0; REQUEST_ID_LENGTH_MAX];
        if let Some(to) = text.get_mut(..id.len()) {
            to.copy_from_slice(id);
        }
        Self { text, length: id.len() }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Only ASCII is harmless.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The same as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }
}

fn is_harmless(id: &[u8]) -> bool {
    (1..=REQUEST_ID_LENGTH_MAX).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
}

/// A `traceparent`: `00-<trace id>-<parent id>-<flags>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// 16 bytes, never all zero.
    pub trace_id: u128,
    /// The span of the sender, never zero.
    pub parent_id: u64,
    /// The flags; bit 0 says sampled.
    pub flags: u8,
}

impl TraceParent {
    /// Reads what a client sent; `None` for what the standard calls invalid.
    pub fn parse(sent: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(sent).ok()?;
        let mut parts = text.split('-');
        let (version, trace, parent, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // Later versions may add parts behind the flags; version ff is forbidden.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        hex(version, 2)?;
        let parsed = Self {
            trace_id: hex(trace, 32)?,
            parent_id: u64::try_from(hex(parent, 16)?).ok()?,
            flags: u8::try_from(hex(flags, 2)?).ok()?,
        };
        (parsed.trace_id != 0 && parsed.parent_id != 0).then_some(parsed)
    }

    /// The next hop's: the same trace, our own span; a new, unsampled trace where none was sent.
    #[must_use]
    pub fn next(sent: Option<&Self>, chance: &mut impl FnMut() -> u64) -> Self {
        let (trace_id, flags) = match sent {
            Some(sent) => (sent.trace_id, sent.flags),
            None => (wide(chance).max(1), 0),
        };
        Self { trace_id, parent_id: chance().max(1), flags }
    }

    /// Bytes of the text.
    pub const TEXT_BYTES: usize = 55;

    /// As it is sent.
    pub fn text(&self) -> [u8; Self::TEXT_BYTES] {
        let trace = digits::<32>(self.trace_id);
        let parent = digits::<16>(self.parent_id.into());
        let [.., high, low] = eight_digits(self.flags.into());
        let mut text = [b'-'; Self::TEXT_BYTES];
        let parts = [(0, &b"00"[..]), (3, &trace), (36, &parent), (53, &[high, low])];
        for (at, part) in parts {
            if let Some(to) = text.get_mut(at..at + part.len()) {
                to.copy_from_slice(part);
            }
        }
        text
    }

    /// The trace id in such a text.
    pub fn trace_id_of(text: &[u8; Self::TEXT_BYTES]) -> &str {
        // All of it is ASCII.
        text.get(3..35).and_then(|id| std::str::from_utf8(id).ok()).unwrap_or_default()
    }
}

/// A number of twice the width.
fn wide(chance: &mut impl FnMut() -> u64) -> u128 {
    u128::from(chance()) << 64 | u128::from(chance())
}

/// The last `N` hexadecimal digits, a multiple of eight: `format!` takes ten times as long, several
/// times a request.
fn digits<const N: usize>(number: u128) -> [u8; N] {
    let mut text = [b'0'; N];
    let mut rest = number;
    for eight in text.as_chunks_mut::<8>().0.iter_mut().rev() {
        *eight = eight_digits(rest);
        rest >>= 32;
    }
    text
}

/// The last eight: each half byte moves into a byte of its own, where all become digits at once.
fn eight_digits(number: u128) -> [u8; 8] {
    let [a, b, c, d, ..] = number.to_le_bytes();
    let number = u64::from(u32::from_le_bytes([a, b, c, d]));
    let apart = (number & 0xffff) << 32 | (number & 0xffff_0000) >> 16;
    let apart = (apart & 0x0000_ff00_0000_ff00) >> 8 | (apart & 0x0000_00ff_0000_00ff) << 16;
    let apart = (apart & 0x00f0_00f0_00f0_00f0) >> 4 | (apart & 0x000f_000f_000f_000f) << 8;
    let letters = (apart + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    let beyond_nine = u64::from(b'a' - b'9' - 1);
    (apart + 0x3030_3030_3030_3030 + letters * beyond_nine).to_le_bytes()
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(lower))
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests;
