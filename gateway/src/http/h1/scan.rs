//! One strict, resumable pass over the raw lines of a head.
use memchr::memchr;

use super::grammar;
use super::limits;
use super::malformed::Malformed;
use super::marks::{self, BLOCK};

/// A range of bytes in a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    #[expect(clippy::cast_possible_truncation, reason = "a head is at most HEAD_BYTES long")]
    pub(crate) const fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes; empty if they are not there.
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Which fields matter to framing and to the connection, and of which the gateway has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Plain = 0,
    Host = 1,
    ContentLength = 2,
    TransferEncoding = 3,
    Connection = 4,
    Upgrade = 5,
    Expect = 6,
    Te = 7,
    /// Belongs to one connection and means nothing to the codec.
    Hop = 8,
    /// Names the request: `x-request-id`.
    Id = 9,
    /// Names its trace: `traceparent`.
    Trace = 10,
    /// Says where a request came from.
    Origin = 11,
}

impl Kind {
    pub(crate) fn of(name: &[u8]) -> Self {
        let first = name.first().map_or(0, |byte| byte | 0x20);
        // Most names begin with another letter.
        if !matches!(first, b'c' | b'e' | b'f' | b'h' | b'k' | b'p' | b't' | b'u' | b'v' | b'x') {
            return Self::Plain;
        }
        let begins = |prefix| grammar::starts_with_ignore_case(name, prefix);
        let known: (&[u8], Self) = match (name.len(), first) {
            (2, b't') => (b"te", Self::Te),
            (3, b'v') => (b"via", Self::Origin),
            (4, b'h') => (b"host", Self::Host),
            (5, b'p') => (b"proxy", Self::Hop),
            (6, b'e') => (b"expect", Self::Expect),
            (7, b'u') => (b"upgrade", Self::Upgrade),
            (9, b'f') => (b"forwarded", Self::Origin),
            (9, b'x') => (b"x-real-ip", Self::Origin),
            (10, b'c') => (b"connection", Self::Connection),
            (10, b'k') => (b"keep-alive", Self::Hop),
            (11, b't') => (b"traceparent", Self::Trace),
            (12, b'x') => (b"x-request-id", Self::Id),
            (14, b'c') => (b"content-length", Self::ContentLength),
            (14, b'h') => (b"http2-settings", Self::Hop),
            (17, b't') => (b"transfer-encoding", Self::TransferEncoding),
            (_, b'p') if begins(b"proxy-") => return Self::Hop,
            (_, b'x') if begins(b"x-forwarded-") || begins(b"x-spanway-") => return Self::Origin,
            _ => return Self::Plain,
        };
        if grammar::same(known.0, name) { known.1 } else { Self::Plain }
    }

    /// Whether such a line is none of framing or connection.
    pub(crate) const fn is_free(self) -> bool {
        matches!(self, Self::Plain | Self::Id | Self::Trace | Self::Origin)
    }

    /// Whether such a line ends at this hop.
    pub(crate) const fn is_hop(self) -> bool {
        Seen::HOPS.has(self)
    }
}

/// A set of kinds: of those that occur in a head, mostly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen(u16);

impl Seen {
    /// Those that end at this hop.
    pub(crate) const HOPS: Self = Self(0)
        .with(Kind::Connection, true)
        .with(Kind::Hop, true)
        .with(Kind::Te, true)
        .with(Kind::TransferEncoding, true)
        .with(Kind::Upgrade, true);
    /// The length.
    pub(crate) const LENGTH: Self = Self(0).with(Kind::ContentLength, true);

    /// The same, with `kind` if `wanted`.
    pub(crate) const fn with(mut self, kind: Kind, wanted: bool) -> Self {
        self.0 |= (wanted as u16) << kind as u8;
        self
    }

    pub(crate) const fn add(&mut self, kind: Kind) {
        self.0 |= 1 << kind as u8;
    }

    pub(crate) const fn has(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }
}

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: Span,
    pub(crate) value: Span,
    /// Behind the line end.
    pub(crate) end: u32,
    pub(crate) kind: Kind,
}

/// Where a scan stands; it goes on where it stopped when more bytes have come.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    /// Start of the line that is being read.
    line: usize,
    /// Up to here all bytes were looked at.
    searched: usize,
    empty: u8,
    /// Whether a control byte stands where none may.
    stray: bool,
    first: Option<Span>,
    fields: Vec<Field>,
    seen: Seen,
}

/// What a finished scan found; spans count from `start`.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// Where the head begins in the input (behind empty lines).
    pub(crate) start: usize,
    /// Where it ends, the empty line included.
    pub(crate) end: usize,
    pub(crate) fields: Vec<Field>,
    pub(crate) seen: Seen,
    pub(crate) first: Span,
}

impl Scanner {
    /// Reads on in `input`, which begins with the same bytes as before. `None`: more bytes are needed.
    ///
    /// Lines are found by the control bytes that end them; any other control byte has no place.
    #[inline(never)]
    pub(crate) fn scan(&mut self, input: &[u8]) -> Result<Option<Scanned>, Malformed> {
        if self.first.is_none() {
            self.check_first_byte(input)?;
        }
        while let Some(rest) = input.get(self.searched..).filter(|rest| !rest.is_empty()) {
            let mut controls = marks::controls(rest);
            while controls != 0 {
                let at = self.searched + controls.trailing_zeros() as usize;
                controls &= controls - 1;
                match input.get(at..) {
                    Some([b'\r', b'\n', ..]) => {
                        // The line feed, if it is in this block.
                        controls &= controls.wrapping_sub(1);
                        if self.line(input, at)? {
                            // What comes behind is no part of the head.
                            return self.finish().map(Some);
                        }
                    }
                    // The next byte tells what it is.
                    Some([b'\r']) => {
                        self.searched = at;
                        return self.check_size(input.len()).map(|()| None);
                    }
                    // The first of a block: its line has been taken.
                    Some([b'\n', ..]) if at + 1 == self.line => {}
                    Some([b'\n', ..]) => {
                        return self.check_size(at + 1).and(Err(Malformed::LineEnd));
                    }
                    _ => self.stray = true,
                }
            }
            self.searched += rest.len().min(BLOCK);
        }
        self.check_size(input.len())?;
        Ok(None)
    }

    /// Takes the line that ends at `end`, with a carriage return and a line feed behind it; true if it
    /// was the last.
    fn line(&mut self, input: &[u8], end: usize) -> Result<bool, Malformed> {
        self.check_size(end + 2)?;
        let start = std::mem::replace(&mut self.line, end + 2);
        if self.first.is_none() {
            return self.first_line(input, Span::new(start, end)).map(|()| false);
        }
        let line = input.get(start..end).unwrap_or_default();
        if line.is_empty() {
            return Ok(true);
        }
        if self.fields.len() == limits::HEAD_FIELDS {
            return Err(Malformed::TooManyFields);
        }
        let name = name(line, input.get(start..).unwrap_or_default())?;
        let field = Field::new(name, line, start);
        self.seen.add(field.kind);
        self.fields.push(field);
        Ok(false)
    }

    fn first_line(&mut self, input: &[u8], line: Span) -> Result<(), Malformed> {
        if line.start < line.end {
            self.first = Some(line);
            self.fields = Vec::with_capacity(limits::USUAL_FIELDS);
            return Ok(());
        }
        self.empty += 1;
        if self.empty > limits::EMPTY_LINES {
            return Err(Malformed::RequestLine);
        }
        self.check_first_byte(input)
    }

    /// What is no token at the very beginning is no HTTP: say so before a line end has come.
    fn check_first_byte(&self, input: &[u8]) -> Result<(), Malformed> {
        match input.get(self.line) {
            Some(&byte) if byte != b'\r' && !grammar::is_token_byte(byte) => {
                Err(Malformed::RequestLine)
            }
            _ => Ok(()),
        }
    }

    fn check_size(&self, end: usize) -> Result<(), Malformed> {
        if self.first.is_none() && end - self.line > limits::FIRST_LINE_BYTES + 2 {
            return Err(Malformed::TargetTooLong);
        }
        if end > limits::HEAD_BYTES { Err(Malformed::HeadTooLarge) } else { Ok(()) }
    }

    fn finish(&mut self) -> Result<Scanned, Malformed> {
        if self.stray {
            return Err(Malformed::FieldValue);
        }
        let first = self.first.unwrap_or_default();
        let start = first.start as usize;
        let scanned = std::mem::take(self);
        let mut fields = scanned.fields;
        if start > 0 {
            shift(&mut fields, first.start);
        }
        Ok(Scanned {
            start,
            end: scanned.line,
            fields,
            seen: scanned.seen,
            first: Span { start: 0, end: first.end - first.start },
        })
    }
}

fn shift(fields: &mut [Field], by: u32) {
    for field in fields {
        for span in [&mut field.name, &mut field.value] {
            span.start -= by;
            span.end -= by;
        }
        field.end -= by;
    }
}

impl Field {
    /// That of a line, without its line end, which stands at `start` and begins with `name` and a colon.
    fn new(name: &[u8], line: &[u8], start: usize) -> Self {
        let after = line.get(name.len() + 1..).unwrap_or_default();
        let text = grammar::trim_start(after);
        let value = start + line.len() - text.len();
        let text = grammar::trim_end(text);
        Self {
            name: Span::new(start, start + name.len()),
            value: Span::new(value, value + text.len()),
            end: Span::new(0, start + line.len() + 2).end,
            kind: Kind::of(name),
        }
    }
}

/// Reads one field line (without its line end) that stands at `start`, and checks all of it.
pub(crate) fn checked_field(line: &[u8], start: usize) -> Result<Field, Malformed> {
    let field = Field::new(name(line, line)?, line, start);
    if grammar::is_text(line) { Ok(field) } else { Err(Malformed::FieldValue) }
}

/// The name of a field line: a token with a colon right behind it. `ahead` is the line with what comes
/// behind it.
///
/// Nothing is said of control bytes in the value: a head is searched for them as a whole.
fn name<'a>(line: &'a [u8], ahead: &[u8]) -> Result<&'a [u8], Malformed> {
    // No line end is part of a word.
    let words = marks::words(ahead);
    if words > 0
        && let Some((name, [b':', ..])) = line.split_at_checked(words)
    {
        return Ok(name);
    }
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Malformed::FieldFolded);
    }
    let colon = memchr(b':', line).ok_or(Malformed::FieldName)?;
    let name = line.get(..colon).unwrap_or_default();
    if !grammar::is_token(name) {
        return Err(Malformed::FieldName);
    }
    if name.contains(&b'_') && super::rules::imitates_protected(name) {
        return Err(Malformed::FieldTwin);
    }
    Ok(name)
}
