//! Frames the bytes of a body for the other side.
use super::super::head::{Block, Body};
use super::super::rules;

/// More or fewer bytes than were announced: the connection cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("body is not as long as announced")]
pub struct LengthBroken;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoder {
    /// There is none; what is given is thrown away (`HEAD`).
    Discard,
    /// So many bytes are still to be written.
    Length(u64),
    /// Chunks.
    Chunked,
    /// As it is; the end of the connection ends it.
    UntilClose,
}

impl Encoder {
    /// The encoder for a request with this body.
    pub(crate) const fn of_request(body: Body) -> Self {
        match body {
            Body::None => Self::Length(0),
            Body::Length(length) => Self::Length(length),
            Body::Chunked | Body::UntilClose => Self::Chunked,
        }
    }

    /// Appends what stands before `data` in the output, and checks that it may be written.
    pub fn before(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), LengthBroken> {
        match self {
            Self::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(LengthBroken)?;
            }
            Self::Chunked if !data.is_empty() => size_line(data.len(), out),
            Self::Discard | Self::Chunked | Self::UntilClose => {}
        }
        Ok(())
    }

    /// What stands behind data.
    pub const fn after(&self, data: &[u8]) -> &'static [u8] {
        match self {
            Self::Chunked if !data.is_empty() => b"\r\n",
            _ => b"",
        }
    }

    /// Whether data is written at all.
    pub const fn discards(&self) -> bool {
        matches!(self, Self::Discard)
    }

    /// Appends the end of the body. Trailers are written where the framing has room for them.
    pub fn end(&mut self, trailers: Option<&Block>, out: &mut Vec<u8>) -> Result<(), LengthBroken> {
        match self {
            Self::Length(0) | Self::Discard | Self::UntilClose => Ok(()),
            Self::Length(_) => Err(LengthBroken),
            Self::Chunked => {
                out.extend_from_slice(b"0\r\n");
                if let Some(trailers) = trailers {
                    write_trailers(trailers, out);
                }
                out.extend_from_slice(b"\r\n");
                Ok(())
            }
        }
    }
}

fn write_trailers(trailers: &Block, out: &mut Vec<u8>) {
    for (name, value) in trailers.fields() {
        if rules::may_be_trailer(name.as_bytes()) {
            super::super::edit::line(name.as_bytes(), value, out);
        }
    }
}

fn size_line(size: usize, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 16];
    let mut left = size;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef".get(left & 15).copied().unwrap_or(b'0');
        used += 1;
        left >>= 4;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(16 - used..).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
}
