//! Every limit of the HTTP/1 codec, with its reason.
use std::time::Duration;

/// Bytes of a whole head: what browsers, proxies and servers agree to carry, with room for large cookies.
pub const HEAD_BYTES: usize = 64 * 1024;
/// Fields of a head: the default of widespread servers.
pub const HEAD_FIELDS: usize = 100;
/// Fields for which room is made at once: what browsers send.
pub const USUAL_FIELDS: usize = 24;
/// Bytes of a request target: what common servers accept.
pub const TARGET_BYTES: usize = 8 * 1024;
/// Bytes of a method: the longest registered one has 17.
pub const METHOD_BYTES: usize = 32;
/// Bytes of a first line: a target, a method, a version and two spaces.
pub const FIRST_LINE_BYTES: usize = TARGET_BYTES + METHOD_BYTES + 10;
/// Empty lines before a request: one, because old clients send it after a body.
pub const EMPTY_LINES: u8 = 1;
/// Bytes of a host name: the longest that DNS can carry.
pub const HOST_BYTES: usize = 255;
/// Names in `Connection`: more has no use, each costs a pass over the fields.
pub const CONNECTION_OPTIONS: usize = 16;

/// Bytes of a line with a chunk size and its extensions: nobody uses extensions.
pub const CHUNK_LINE_BYTES: usize = 256;
/// Bytes of all chunk extensions of one body: they are thrown away, so they must stay cheap.
pub const CHUNK_EXTENSION_BYTES: usize = 16 * 1024;
/// Hexadecimal digits of a chunk size: as many as 64 bits have.
pub const CHUNK_SIZE_DIGITS: usize = 16;
/// Bytes of a trailer section: a checksum and a gRPC status are far below.
pub const TRAILER_BYTES: usize = 8 * 1024;
/// Fields of a trailer section.
pub const TRAILER_FIELDS: usize = 32;

/// Cookie fields of an HTTP/2 request that are joined to one: browsers send a handful.
pub const COOKIE_CRUMBS: usize = 200;

/// Interim answers before the final one: a few hints, not a flood.
pub const INTERIM_HEADS: u8 = 16;

/// Bytes of one receive buffer: one read of a small message, good throughput for a large one.
pub const READ_BYTES: usize = 16 * 1024;
/// Bytes of one read where much flows: some TLS records, which leave in one write.
pub const BULK_BYTES: usize = 64 * 1024;
/// Bytes after which a peer for which nobody had to wait long counts as fast: more than the system
/// takes for one that reads slowly, so that no large buffer is held for such a one.
pub const FAST_BYTES: usize = 192 * 1024;
/// A longer wait than this is long: whoever reads as it comes makes room sooner, unless far away.
pub const FAST_WAIT: Duration = Duration::from_millis(20);
/// Bytes that a connection may hold unread: a whole head, and one read more.
pub const INPUT_BYTES: usize = HEAD_BYTES + READ_BYTES;
/// Bytes gathered before a write: head and small body leave in one.
pub const WRITE_BYTES: usize = 16 * 1024;
/// Buffers that a thread keeps for its next reader or writer.
pub const SPARE_BUFFERS: usize = 64;
/// Bytes of an unread request body that are worth reading to keep a connection.
pub const DRAIN_BYTES: u64 = 64 * 1024;
/// Time for the same.
pub const DRAIN: Duration = Duration::from_secs(2);
/// Bytes read and thrown away after the last answer, so that a reset does not overtake it.
pub const LINGER_BYTES: usize = 256 * 1024;
/// Time for the same.
pub const LINGER: Duration = Duration::from_secs(2);

/// How long one side of a connection is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// Between two messages, until the first byte of the next.
    pub idle: Duration,
    /// From the first byte of a head to its last (client side: from the request to the end of the head).
    pub head: Duration,
    /// Between two reads of a body.
    pub body: Duration,
    /// For one write to be taken.
    pub write: Duration,
}

impl Default for Waits {
    /// Idle as long as load balancers in front keep theirs; a head in one round trip or it is an attack.
    fn default() -> Self {
        Self {
            idle: Duration::from_mins(1),
            head: Duration::from_secs(10),
            body: Duration::from_mins(1),
            write: Duration::from_mins(1),
        }
    }
}
