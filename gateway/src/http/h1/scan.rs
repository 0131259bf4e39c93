//! One strict, resumable pass over the raw lines of a head.
use memchr::memchr;

use super::grammar;
use super::limits;
use super::malformed::Malformed;

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

/// Which fields matter to framing and to the connection.
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
}

impl Kind {
    pub(crate) fn of(name: &[u8]) -> Self {
        let known: (&[u8], Self) = match name.len() {
            2 => (b"te", Self::Te),
            4 => (b"host", Self::Host),
            5 => (b"proxy", Self::Hop),
            6 => (b"expect", Self::Expect),
            7 => (b"upgrade", Self::Upgrade),
            10 if name.first().is_some_and(|b| b | 0x20 == b'k') => (b"keep-alive", Self::Hop),
            10 => (b"connection", Self::Connection),
            14 if name.first().is_some_and(|b| b | 0x20 == b'h') => (b"http2-settings", Self::Hop),
            14 => (b"content-length", Self::ContentLength),
            17 => (b"transfer-encoding", Self::TransferEncoding),
            _ => (b"", Self::Plain),
        };
        if name.eq_ignore_ascii_case(known.0) {
            return known.1;
        }
        if name.first().is_some_and(|b| b | 0x20 == b'p')
            && grammar::starts_with_ignore_case(name, b"proxy-")
        {
            return Self::Hop;
        }
        Self::Plain
    }

    /// Whether such a line ends at this hop.
    pub(crate) const fn is_hop(self) -> bool {
        matches!(
            self,
            Self::Connection | Self::Hop | Self::Te | Self::TransferEncoding | Self::Upgrade
        )
    }
}

/// The set of kinds that occur.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen(u16);

impl Seen {
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
    /// Up to here there is no further line end.
    searched: usize,
    /// Line ends so far, empty ones before the first line not counted.
    lines: usize,
    empty: u8,
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
    pub(crate) fn scan(&mut self, input: &[u8]) -> Result<Option<Scanned>, Malformed> {
        if self.first.is_none() {
            self.check_first_byte(input)?;
        }
        while let Some(at) = memchr(b'\n', input.get(self.searched..).unwrap_or_default()) {
            let end = self.searched + at;
            self.check_size(end + 1)?;
            let start = std::mem::replace(&mut self.line, end + 1);
            self.searched = end + 1;
            let Some(line) = input.get(start..end).and_then(|line| line.strip_suffix(b"\r")) else {
                return Err(Malformed::LineEnd);
            };
            if self.line(line, start)? {
                return self.finish(input).map(Some);
            }
            if self.first.is_none() {
                self.check_first_byte(input)?;
            }
        }
        self.searched = input.len();
        self.check_size(input.len())?;
        Ok(None)
    }

    /// Takes one line; true if it was the last.
    fn line(&mut self, line: &[u8], start: usize) -> Result<bool, Malformed> {
        if self.first.is_none() {
            if line.is_empty() {
                self.empty += 1;
                return if self.empty > limits::EMPTY_LINES {
                    Err(Malformed::RequestLine)
                } else {
                    Ok(false)
                };
            }
            self.first = Some(Span::new(start, start + line.len()));
            self.lines += 1;
            return Ok(false);
        }
        self.lines += 1;
        if line.is_empty() {
            return Ok(true);
        }
        if self.fields.len() == limits::HEAD_FIELDS {
            return Err(Malformed::TooManyFields);
        }
        let field = field(line, start)?;
        self.seen.add(field.kind);
        self.fields.push(field);
        Ok(false)
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

    fn finish(&mut self, input: &[u8]) -> Result<Scanned, Malformed> {
        let first = self.first.unwrap_or_default();
        let start = first.start as usize;
        let head = input.get(start..self.line).unwrap_or_default();
        if !grammar::is_text_of_lines(head, self.lines) {
            return Err(Malformed::ControlByte);
        }
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

/// Reads one field line (without its line end) that stands at `start`. Control bytes are not judged here.
pub(crate) fn field(line: &[u8], start: usize) -> Result<Field, Malformed> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Malformed::FieldFolded);
    }
    let colon =
        line.iter().position(|&b| !grammar::is_token_byte(b)).ok_or(Malformed::FieldName)?;
    if colon == 0 || line.get(colon) != Some(&b':') {
        return Err(Malformed::FieldName);
    }
    let name = line.get(..colon).unwrap_or_default();
    if name.contains(&b'_') && super::rules::imitates_protected(name) {
        return Err(Malformed::FieldTwin);
    }
    let after = line.get(colon + 1..).unwrap_or_default();
    let lead = after.iter().position(|&b| b != b' ' && b != b'\t').unwrap_or(after.len());
    let value = start + colon + 1 + lead;
    let length = grammar::trim(after).len();
    Ok(Field {
        name: Span::new(start, start + colon),
        value: Span::new(value, value + length),
        end: Span::new(0, start + line.len() + 2).end,
        kind: Kind::of(name),
    })
}
