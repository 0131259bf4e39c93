//! What a port speaks, as its `appProtocol` says (KEP-3726).

use std::sync::{Arc, LazyLock};

/// The names that most opaque ports have: one text for all of them.
static USUAL: LazyLock<[Arc<str>; 4]> =
    LazyLock::new(|| ["tcp", "tls", "https", "kubernetes.io/wss"].map(Arc::from));

/// The application protocol of a Service port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum AppProtocol {
    /// Nothing was said: the first bytes decide.
    #[default]
    Unset,
    /// `http`, or `kubernetes.io/ws`: HTTP/1.1.
    Http1,
    /// `kubernetes.io/h2c`, or `grpc`: HTTP/2 with prior knowledge.
    H2c,
    /// `tcp`, `kubernetes.io/wss`, `https`, `tls` and all that we do not know: bytes are copied.
    Opaque(Arc<str>),
}

impl AppProtocol {
    /// Reads `appProtocol`.
    pub fn parse(text: Option<&str>) -> Self {
        match text {
            None | Some("") => Self::Unset,
            Some("http" | "kubernetes.io/ws") => Self::Http1,
            Some("kubernetes.io/h2c" | "grpc") => Self::H2c,
            Some(other) => {
                let usual = USUAL.iter().find(|usual| &***usual == other);
                Self::Opaque(usual.map_or_else(|| other.into(), Arc::clone))
            }
        }
    }

    /// Whether requests on this port are read and routed one by one, whatever the first bytes are.
    pub const fn is_http(&self) -> bool {
        matches!(self, Self::Http1 | Self::H2c)
    }
}
