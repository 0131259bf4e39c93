//! Finds the bytes of a body in the input without copying them.
use std::ops::Range;

use memchr::memchr;

use super::super::grammar;
use super::super::head::{Block, Body};
use super::super::limits;
use super::super::malformed::Malformed;
use super::super::rules;
use super::super::scan;

/// What the input begins with. The bytes named must be taken from it before the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes of the body stand in this range; take everything up to its end.
    Data(Range<usize>),
    /// Nothing more without further input; take so many bytes, which were framing.
    More(usize),
    /// The body ends behind so many bytes.
    End(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes are to come; 0 is the end.
    Length(u64),
    UntilClose,
    /// A line with the size of a chunk.
    Size,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The line end behind a chunk.
    ChunkEnd,
    Trailers,
    Done,
}

/// Reads one body, strictly: CR LF only, plain hexadecimal sizes, limits on whatever is thrown away.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    extension_bytes: usize,
    trailer_bytes: usize,
    trailer_lines: usize,
    trailers: Block,
}

impl Decoder {
    /// A decoder for a body that is framed like this.
    pub fn new(body: Body) -> Self {
        let state = match body {
            Body::None => State::Done,
            Body::Length(length) => State::Length(length),
            Body::Chunked => State::Size,
            Body::UntilClose => State::UntilClose,
        };
        Self {
            state,
            extension_bytes: 0,
            trailer_bytes: 0,
            trailer_lines: 0,
            trailers: Block::default(),
        }
    }

    /// Whether the whole body has been read.
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done | State::Length(0))
    }

    /// Whether the end of the connection is the end of the body.
    pub const fn ends_with_connection(&self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    /// The connection has ended. True if that is a clean end.
    pub const fn close(&mut self) -> bool {
        if self.ends_with_connection() {
            self.state = State::Done;
        }
        self.is_done()
    }

    /// The trailers, when the body is done; those that may not be trailers are left out.
    pub fn take_trailers(&mut self) -> Block {
        std::mem::take(&mut self.trailers)
    }

    /// Reads on at the start of `input`.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, Malformed> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            match self.state {
                State::Done | State::Length(0) => {
                    self.state = State::Done;
                    return Ok(Step::End(at));
                }
                _ if rest.is_empty() => return Ok(Step::More(at)),
                State::UntilClose => return Ok(Step::Data(at..input.len())),
                State::Length(left) => {
                    let (taken, left) = split(rest.len(), left);
                    self.state = State::Length(left);
                    return Ok(Step::Data(at..at + taken));
                }
                State::Chunk(left) => {
                    let (taken, left) = split(rest.len(), left);
                    self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                    return Ok(Step::Data(at..at + taken));
                }
                State::ChunkEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        self.state = State::Size;
                        at += 2;
                    }
                    b"\r" => return Ok(Step::More(at)),
                    _ => return Err(Malformed::ChunkEnd),
                },
                State::Size | State::Trailers => match self.line(rest)? {
                    Some(taken) => at += taken,
                    None => return Ok(Step::More(at)),
                },
            }
        }
    }

    /// Takes one line of framing, if it is there, and tells its length.
    fn line(&mut self, rest: &[u8]) -> Result<Option<usize>, Malformed> {
        let sizes = self.state == State::Size;
        let limit = if sizes { limits::CHUNK_LINE_BYTES } else { limits::TRAILER_BYTES };
        let too_long = if sizes { Malformed::ChunkLine } else { Malformed::TrailerTooLarge };
        let Some(end) = memchr(b'\n', rest) else {
            if rest.len() >= limit {
                return Err(too_long);
            }
            return if sizes { may_become_size(rest).map(|()| None) } else { Ok(None) };
        };
        if end >= limit {
            return Err(too_long);
        }
        let line =
            rest.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(Malformed::LineEnd)?;
        if sizes {
            self.size(line)?;
        } else {
            self.trailer(line)?;
        }
        Ok(Some(end + 1))
    }

    fn size(&mut self, line: &[u8]) -> Result<(), Malformed> {
        let digits = line.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(line.len());
        let (digits, extension) = line.split_at_checked(digits).ok_or(Malformed::ChunkSize)?;
        let size = grammar::hex(digits).ok_or(Malformed::ChunkSize)?;
        if !extension.is_empty() {
            self.extension_bytes += extension.len();
            if self.extension_bytes > limits::CHUNK_EXTENSION_BYTES {
                return Err(Malformed::ChunkLine);
            }
            check_extension(extension)?;
        }
        self.state = if size == 0 { State::Trailers } else { State::Chunk(size) };
        Ok(())
    }

    fn trailer(&mut self, line: &[u8]) -> Result<(), Malformed> {
        if line.is_empty() {
            self.state = State::Done;
            return Ok(());
        }
        self.trailer_bytes += line.len() + 2;
        self.trailer_lines += 1;
        if self.trailer_bytes > limits::TRAILER_BYTES || self.trailer_lines > limits::TRAILER_FIELDS
        {
            return Err(Malformed::TrailerTooLarge);
        }
        let field =
            scan::checked_field(line, self.trailers.bytes.len()).map_err(|_| Malformed::Trailer)?;
        let name = (field.name.end - field.name.start) as usize;
        if rules::may_be_trailer(line.get(..name).unwrap_or_default()) {
            self.trailers.bytes.extend_from_slice(line);
            self.trailers.bytes.extend_from_slice(b"\r\n");
            self.trailers.seen.add(field.kind);
            self.trailers.fields.push(field);
        }
        Ok(())
    }
}

fn split(available: usize, left: u64) -> (usize, u64) {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(available);
    (taken, left - taken as u64)
}

/// Whether a line without its end can still turn out well, so that nonsense is refused before more is waited for.
fn may_become_size(part: &[u8]) -> Result<(), Malformed> {
    let part = part.strip_suffix(b"\r").unwrap_or(part);
    let digits = part.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(part.len());
    let extension = part.get(digits..).unwrap_or_default();
    if digits > limits::CHUNK_SIZE_DIGITS || (digits == 0 && !extension.is_empty()) {
        return Err(Malformed::ChunkSize);
    }
    match extension {
        [] => Ok(()),
        [b';', text @ ..] if grammar::is_text(text) => Ok(()),
        [b';', text @ ..] if text.contains(&b'\r') => Err(Malformed::LineEnd),
        _ => Err(Malformed::ChunkExtension),
    }
}

/// `;name`, `;name=token` or `;name="text"`, as often as one likes, without spaces.
fn check_extension(mut extension: &[u8]) -> Result<(), Malformed> {
    while !extension.is_empty() {
        extension = one_extension(extension).ok_or(Malformed::ChunkExtension)?;
    }
    Ok(())
}

fn one_extension(extension: &[u8]) -> Option<&[u8]> {
    let rest = after_token(extension.strip_prefix(b";")?)?;
    let Some(value) = rest.strip_prefix(b"=") else { return Some(rest) };
    match value.strip_prefix(b"\"") {
        Some(quoted) => after_quoted(quoted),
        None => after_token(value),
    }
}

fn after_token(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|&b| !grammar::is_token_byte(b)).unwrap_or(bytes.len());
    if end == 0 { None } else { bytes.get(end..) }
}

fn after_quoted(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        bytes = match bytes {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', escaped, rest @ ..] if grammar::is_text(&[*escaped]) => rest,
            [b'\\', ..] | [] => return None,
            [byte, rest @ ..] if grammar::is_text(&[*byte]) => rest,
            _ => return None,
        };
    }
}
