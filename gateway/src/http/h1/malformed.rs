//! Why a message is not acceptable.

/// A rule that a message breaks. Nothing of it may be answered in any other way or forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// An answer of 204 or an interim one announces a body.
    #[error("body announced where none may be")]
    BodyForbidden,
    /// The bytes after a chunk are not its line end.
    #[error("chunk does not end with its line end")]
    ChunkEnd,
    /// The extension of a chunk breaks its grammar.
    #[error("chunk extension is not valid")]
    ChunkExtension,
    /// The line of a chunk, or all extensions together, are longer than the limit.
    #[error("chunk line is too long")]
    ChunkLine,
    /// The size of a chunk is missing or is not hexadecimal.
    #[error("chunk size is not valid")]
    ChunkSize,
    /// `Connection` is not a list of tokens, or is too long.
    #[error("connection options are not valid")]
    Connection,
    /// `Connection` names a field that must not be taken away.
    #[error("connection options name a protected field")]
    ConnectionProtected,
    /// `Transfer-Encoding` is anything but `chunked`.
    #[error("transfer encoding is not valid")]
    Encoding,
    /// `Transfer-Encoding` in a message of HTTP/1.0.
    #[error("transfer encoding in HTTP/1.0")]
    EncodingInOld,
    /// More than one `Transfer-Encoding` line.
    #[error("transfer encoding stands twice")]
    EncodingRepeated,
    /// A known coding that is not served.
    #[error("transfer encoding is not supported")]
    EncodingUnsupported,
    /// An expectation other than `100-continue`.
    #[error("expectation is not supported")]
    Expectation,
    /// A field line that continues the one before.
    #[error("field line is folded")]
    FieldFolded,
    /// The name of a field is empty, holds a forbidden byte or has no colon behind it.
    #[error("field name is not valid")]
    FieldName,
    /// A name with an underscore that servers may take for a protected one.
    #[error("field name imitates a protected one")]
    FieldTwin,
    /// The value of a field holds a forbidden byte.
    #[error("field value is not valid")]
    FieldValue,
    /// A field that HTTP/2 forbids.
    #[error("field belongs to a connection")]
    FieldOfConnection,
    /// The head is longer than the limit.
    #[error("head is too large")]
    HeadTooLarge,
    /// `Host` is not a name or address with an optional port.
    #[error("host is not valid")]
    Host,
    /// `Host` and the authority of the target differ.
    #[error("host differs from the target")]
    HostDiffers,
    /// There is no `Host`.
    #[error("host is missing")]
    HostMissing,
    /// There is more than one `Host`.
    #[error("host stands twice")]
    HostRepeated,
    /// `Content-Length` is not a plain number.
    #[error("content length is not valid")]
    Length,
    /// More than one `Content-Length` line.
    #[error("content length stands twice")]
    LengthRepeated,
    /// `Content-Length` beside `Transfer-Encoding`.
    #[error("content length beside a transfer encoding")]
    LengthWithEncoding,
    /// A line that does not end with CR LF, or a stray CR.
    #[error("line end is not valid")]
    LineEnd,
    /// The method is not a token or is too long.
    #[error("method is not valid")]
    Method,
    /// A method that is not served: `CONNECT`, `TRACE`, or a look-alike of a method with framing of its own.
    #[error("method is not supported")]
    MethodDenied,
    /// The first line is not one of a request.
    #[error("request line is not valid")]
    RequestLine,
    /// The status is not a number from 100 to 599.
    #[error("status is not valid")]
    Status,
    /// The first line is not one of an answer.
    #[error("status line is not valid")]
    StatusLine,
    /// A switch of protocols that was not asked for.
    #[error("protocol switched without being asked")]
    Switch,
    /// The target has none of the allowed forms or holds a forbidden byte.
    #[error("target is not valid")]
    Target,
    /// The target is longer than the limit.
    #[error("target is too long")]
    TargetTooLong,
    /// More interim answers than the limit.
    #[error("too many interim answers")]
    TooManyInterim,
    /// More fields than the limit.
    #[error("too many fields")]
    TooManyFields,
    /// A trailer line breaks the rules of a field.
    #[error("trailer is not valid")]
    Trailer,
    /// The trailers are longer or more than the limit.
    #[error("trailers are too large")]
    TrailerTooLarge,
    /// An upgrade to `websocket` that is not a plain GET of HTTP/1.1.
    #[error("upgrade is not valid")]
    Upgrade,
    /// The version is not written as one.
    #[error("version is not valid")]
    Version,
    /// A version other than 1.0 and 1.1.
    #[error("version is not supported")]
    VersionUnsupported,
}

impl Malformed {
    /// The status that answers a request; the connection closes behind it. An answer that is malformed is always 502.
    pub const fn status(self) -> u16 {
        match self {
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge | Self::TooManyFields | Self::TrailerTooLarge => 431,
            Self::EncodingUnsupported | Self::MethodDenied => 501,
            Self::VersionUnsupported => 505,
            _ => 400,
        }
    }

    /// The name for logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::BodyForbidden => "body_forbidden",
            Self::ChunkEnd => "chunk_end",
            Self::ChunkExtension => "chunk_extension",
            Self::ChunkLine => "chunk_line",
            Self::ChunkSize => "chunk_size",
            Self::Connection => "connection",
            Self::ConnectionProtected => "connection_protected",
            Self::Encoding => "encoding",
            Self::EncodingInOld => "encoding_in_old",
            Self::EncodingRepeated => "encoding_repeated",
            Self::EncodingUnsupported => "encoding_unsupported",
            Self::Expectation => "expectation",
            Self::FieldFolded => "field_folded",
            Self::FieldName => "field_name",
            Self::FieldTwin => "field_twin",
            Self::FieldValue => "field_value",
            Self::FieldOfConnection => "field_of_connection",
            Self::HeadTooLarge => "head_too_large",
            Self::Host => "host",
            Self::HostDiffers => "host_differs",
            Self::HostMissing => "host_missing",
            Self::HostRepeated => "host_repeated",
            _ => self.late_label(),
        }
    }

    /// The second half of [`Self::label`].
    const fn late_label(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::LengthRepeated => "length_repeated",
            Self::LengthWithEncoding => "length_with_encoding",
            Self::LineEnd => "line_end",
            Self::Method => "method",
            Self::MethodDenied => "method_denied",
            Self::RequestLine => "request_line",
            Self::Status => "status",
            Self::StatusLine => "status_line",
            Self::Switch => "switch",
            Self::Target => "target",
            Self::TargetTooLong => "target_too_long",
            Self::TooManyInterim => "too_many_interim",
            Self::TooManyFields => "too_many_fields",
            Self::Trailer => "trailer",
            Self::TrailerTooLarge => "trailer_too_large",
            Self::Upgrade => "upgrade",
            Self::Version => "version",
            Self::VersionUnsupported => "version_unsupported",
            _ => "malformed",
        }
    }
}
