//! Request ids and `traceparent` (W3C Trace Context, level 1).

use std::fmt::Write as _;

/// The longest request id that is taken over from a client: a UUID with room to spare.
const REQUEST_ID_LENGTH_MAX: usize = 64;

/// Names one request in logs, in `x-request-id` and in error answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// Takes over what the client sent if it is short and harmless, else makes one of `chance`.
    pub fn take_or_make(sent: Option<&[u8]>, chance: u128) -> Self {
        match sent.and_then(|sent| std::str::from_utf8(sent).ok()) {
            Some(sent) if is_harmless(sent) => Self(sent.to_owned()),
            _ => Self(format!("{chance:032x}")),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_harmless(id: &str) -> bool {
    (1..=REQUEST_ID_LENGTH_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
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
    pub fn next(sent: Option<&Self>, chance: u128, span: u64) -> Self {
        let (trace_id, flags) = match sent {
            Some(sent) => (sent.trace_id, sent.flags),
            None => (chance.max(1), 0),
        };
        Self { trace_id, parent_id: span.max(1), flags }
    }

    /// As it is sent.
    pub fn header(&self) -> String {
        let mut text = String::with_capacity(55);
        let written =
            write!(text, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags);
        debug_assert!(written.is_ok(), "writing to a String");
        text
    }

    /// The trace id as hexadecimal digits.
    pub fn trace_id_text(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(lower))
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests;
