//! The two short messages with which a link connection begins.
//!
//! ```text
//! length (2) │ kind (1) │ { type (2) │ length (2) │ value } …
//! ```
//!
//! Numbers are big-endian; the first length counts what follows it. Fields of unknown type are
//! skipped, so that either side may say more than the other understands.

use std::sync::Arc;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

#[cfg(test)]
mod tests;

/// The longest message: room for a caller's certificate chain, and not for more.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// The longest sentence of a refusal: it goes into a log line.
pub const SENTENCE_BYTES_MAX: usize = 256;
/// The longest instance or request id.
pub const ID_BYTES_MAX: usize = 128;

const KIND_HELLO: u8 = 1;
const KIND_ACCEPTED: u8 = 2;
const KIND_REFUSED: u8 = 3;

const FIELD_REQUEST_ID: u16 = 1;
const FIELD_INSTANCE: u16 = 2;
const FIELD_CODE: u16 = 3;
const FIELD_SENTENCE: u16 = 4;

/// What the near gateway says first, together with the end of the handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The request or connection that the call was opened for, for the far side's log.
    pub request_id: Option<Arc<str>>,
}

/// What the far gateway answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The endpoint is connected: bytes follow.
    Accepted {
        /// Which of the far gateways this is, as the catalog names those that drain.
        instance: Arc<str>,
    },
    /// Nothing follows, and nothing has reached an endpoint.
    Refused(Refusal),
}

/// Why a far gateway does not take a call. It is always safe to try elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: {sentence}", .code.label())]
pub struct Refusal {
    /// What kind of reason.
    pub code: RefusedCode,
    /// The reason in words.
    pub sentence: Arc<str>,
}

/// The kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusedCode {
    /// The service port is not exported to this link.
    NotExported,
    /// The service has no endpoint of that id, or none at all.
    UnknownEndpoint,
    /// The endpoint did not take the connection.
    EndpointUnreachable,
    /// The gateway takes no more calls.
    Draining,
    /// The gateway has too many calls.
    Overloaded,
    /// The hello or the SNI was not understood.
    Malformed,
    /// A kind that this version does not know.
    Other(u16),
}

/// Why a message could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// It ends within a field.
    #[error("the message ends within a field")]
    Cut,
    /// It has more bytes than any message.
    #[error("the message has {0} bytes, more than {MESSAGE_BYTES_MAX}")]
    TooLong(usize),
    /// It is another message.
    #[error("the message is of kind {0}")]
    Kind(u8),
    /// A field is missing or has no sense.
    #[error("the field {0} is missing or invalid")]
    Field(u16),
    /// The connection broke.
    #[error("the connection broke within the message: {0}")]
    Io(#[from] std::io::Error),
}

/// Reads the bytes of one message, without the length before it.
pub async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, InvalidMessage> {
    let length = usize::from(stream.read_u16().await?);
    if length > MESSAGE_BYTES_MAX {
        return Err(InvalidMessage::TooLong(length));
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

// === impl Hello ===

impl Hello {
    /// The message, length included.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = Message::new(KIND_HELLO);
        if let Some(id) = &self.request_id {
            message.text(FIELD_REQUEST_ID, id, ID_BYTES_MAX);
        }
        message.finish()
    }

    /// Reads a message, length not included.
    pub fn decode(message: &[u8]) -> Result<Self, InvalidMessage> {
        let (kind, fields) = parts(message)?;
        if kind != KIND_HELLO {
            return Err(InvalidMessage::Kind(kind));
        }
        let mut hello = Self::default();
        for field in Fields(fields) {
            let (FIELD_REQUEST_ID, value) = field? else { continue };
            hello.request_id = Some(text(FIELD_REQUEST_ID, value, ID_BYTES_MAX)?);
        }
        Ok(hello)
    }
}

// === impl Answer ===

impl Answer {
    /// A refusal.
    pub fn refused(code: RefusedCode, sentence: &str) -> Self {
        Self::Refused(Refusal { code, sentence: sentence.into() })
    }

    /// The message, length included.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Accepted { instance } => {
                let mut message = Message::new(KIND_ACCEPTED);
                message.text(FIELD_INSTANCE, instance, ID_BYTES_MAX);
                message.finish()
            }
            Self::Refused(Refusal { code, sentence }) => {
                let mut message = Message::new(KIND_REFUSED);
                message.field(FIELD_CODE, &code.number().to_be_bytes());
                message.text(FIELD_SENTENCE, sentence, SENTENCE_BYTES_MAX);
                message.finish()
            }
        }
    }

    /// Reads a message, length not included.
    pub fn decode(message: &[u8]) -> Result<Self, InvalidMessage> {
        let (kind, fields) = parts(message)?;
        let (mut instance, mut code, mut sentence) = (None, None, None);
        for field in Fields(fields) {
            match field? {
                (FIELD_INSTANCE, value) => {
                    instance = Some(text(FIELD_INSTANCE, value, ID_BYTES_MAX)?);
                }
                (FIELD_CODE, value) => {
                    let value = value.try_into().map_err(|_| InvalidMessage::Field(FIELD_CODE))?;
                    code = Some(RefusedCode::of(u16::from_be_bytes(value)));
                }
                (FIELD_SENTENCE, value) => {
                    sentence = Some(text(FIELD_SENTENCE, value, SENTENCE_BYTES_MAX)?);
                }
                _ => {}
            }
        }
        match kind {
            KIND_ACCEPTED => {
                let instance = instance.ok_or(InvalidMessage::Field(FIELD_INSTANCE))?;
                Ok(Self::Accepted { instance })
            }
            KIND_REFUSED => Ok(Self::Refused(Refusal {
                code: code.ok_or(InvalidMessage::Field(FIELD_CODE))?,
                sentence: sentence.unwrap_or_default(),
            })),
            other => Err(InvalidMessage::Kind(other)),
        }
    }
}

// === impl RefusedCode ===

impl RefusedCode {
    /// The name for logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotExported => "not_exported",
            Self::UnknownEndpoint => "unknown_endpoint",
            Self::EndpointUnreachable => "endpoint_unreachable",
            Self::Draining => "draining",
            Self::Overloaded => "overloaded",
            Self::Malformed => "malformed",
            Self::Other(_) => "other",
        }
    }

    /// Whether another gateway of the same cluster may take the same call.
    pub const fn is_of_gateway(self) -> bool {
        matches!(self, Self::Draining | Self::Overloaded)
    }

    const fn number(self) -> u16 {
        match self {
            Self::NotExported => 1,
            Self::UnknownEndpoint => 2,
            Self::EndpointUnreachable => 3,
            Self::Draining => 4,
            Self::Overloaded => 5,
            Self::Malformed => 6,
            Self::Other(number) => number,
        }
    }

    const fn of(number: u16) -> Self {
        match number {
            1 => Self::NotExported,
            2 => Self::UnknownEndpoint,
            3 => Self::EndpointUnreachable,
            4 => Self::Draining,
            5 => Self::Overloaded,
            6 => Self::Malformed,
            other => Self::Other(other),
        }
    }
}

/// A message in the making. What it is made of is far shorter than its limit.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u8) -> Self {
        Self(vec![0, 0, kind])
    }

    fn field(&mut self, number: u16, value: &[u8]) {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&number.to_be_bytes());
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(value.get(..usize::from(length)).unwrap_or_default());
    }

    fn text(&mut self, number: u16, value: &str, most: usize) {
        self.field(
            number,
            value.get(..value.floor_char_boundary(most)).unwrap_or_default().as_bytes(),
        );
    }

    fn finish(mut self) -> Vec<u8> {
        let length = u16::try_from(self.0.len().saturating_sub(2)).unwrap_or(u16::MAX);
        for (to, from) in self.0.iter_mut().zip(length.to_be_bytes()) {
            *to = from;
        }
        self.0
    }
}

/// Type and value.
type Field<'a> = (u16, &'a [u8]);

/// The fields of a message, unknown ones included.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, InvalidMessage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.take();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(InvalidMessage::Cut))
    }
}

impl<'a> Fields<'a> {
    fn take(&mut self) -> Option<Field<'a>> {
        let (number, rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        self.0 = rest;
        Some((u16::from_be_bytes(*number), value))
    }
}

fn parts(message: &[u8]) -> Result<(u8, &[u8]), InvalidMessage> {
    let (kind, fields) = message.split_first().ok_or(InvalidMessage::Cut)?;
    Ok((*kind, fields))
}

fn text(number: u16, value: &[u8], most: usize) -> Result<Arc<str>, InvalidMessage> {
    let text = std::str::from_utf8(value).map_err(|_| InvalidMessage::Field(number))?;
    // What we print in a log must not look like something else there.
    let plain = text.len() <= most && !text.chars().any(char::is_control);
    plain.then(|| text.into()).ok_or(InvalidMessage::Field(number))
}
