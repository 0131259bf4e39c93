//! What goes wrong with a request, whose fault it is, and what the client is told.

use super::h1::{Malformed, ReadError};

/// Why a request was not answered by an endpoint, or not to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The endpoint's answer broke off in the middle.
    AnswerBroken,
    /// The endpoint's answer breaks a rule of HTTP.
    AnswerMalformed,
    /// No answer in time.
    AnswerTooSlow,
    /// The client went away.
    ClientGone,
    /// The endpoint closed before the first byte of an answer.
    Closed,
    /// No endpoint could be reached.
    ConnectFailed,
    /// No endpoint could be reached in time.
    ConnectTooSlow,
    /// The rule has no valid backend, or chance chose an invalid one.
    InvalidBackend,
    /// The request belongs to another listener than the TLS connection that carries it.
    Misdirected,
    /// The rule's backends have no endpoint that takes requests.
    NoEndpoint,
    /// No rule matches.
    NoRoute,
    /// Too many requests wait for an endpoint.
    Overloaded,
    /// The request breaks a rule of HTTP.
    RequestMalformed(Malformed),
    /// The endpoint does not read the request.
    RequestNotTaken,
    /// The client does not send its request in time.
    RequestTooSlow,
    /// The whole request took longer than its rule allows.
    TimedOut,
}

impl Failure {
    /// Why no head of an answer came.
    pub(crate) const fn of_head(error: &ReadError) -> Self {
        match error {
            ReadError::Closed => Self::Closed,
            ReadError::Malformed(_) => Self::AnswerMalformed,
            ReadError::TimedOut => Self::AnswerTooSlow,
            _ => Self::AnswerBroken,
        }
    }

    /// The status for the client.
    pub const fn status(self) -> u16 {
        match self {
            Self::NoRoute => 404,
            Self::Misdirected => 421,
            Self::RequestMalformed(malformed) => malformed.status(),
            Self::RequestTooSlow => 408,
            Self::ClientGone => 499,
            Self::InvalidBackend => 500,
            Self::AnswerBroken | Self::AnswerMalformed | Self::Closed | Self::RequestNotTaken => {
                502
            }
            Self::ConnectFailed | Self::NoEndpoint | Self::Overloaded => 503,
            Self::AnswerTooSlow | Self::ConnectTooSlow | Self::TimedOut => 504,
        }
    }

    /// The flag in logs and metrics; the letters of Envoy where it has the same.
    pub const fn flag(self) -> &'static str {
        match self {
            Self::AnswerBroken | Self::Closed => "UC",
            Self::AnswerMalformed => "UPE",
            Self::AnswerTooSlow | Self::TimedOut => "UT",
            Self::ClientGone => "DC",
            Self::ConnectFailed | Self::ConnectTooSlow => "UF",
            Self::InvalidBackend => "IB",
            Self::Misdirected => "MD",
            Self::NoEndpoint => "UH",
            Self::NoRoute => "NR",
            Self::Overloaded => "UO",
            Self::RequestMalformed(_) => "DPE",
            Self::RequestNotTaken => "UR",
            Self::RequestTooSlow => "DT",
        }
    }

    /// The code in `x-spanway-error` and in the body of the answer.
    pub const fn code(self) -> &'static str {
        match self {
            Self::AnswerBroken => "answer-broken",
            Self::AnswerMalformed => "answer-malformed",
            Self::AnswerTooSlow => "answer-too-slow",
            Self::ClientGone => "client-gone",
            Self::Closed => "endpoint-closed",
            Self::ConnectFailed => "connect-failed",
            Self::ConnectTooSlow => "connect-too-slow",
            Self::InvalidBackend => "invalid-backend",
            Self::Misdirected => "misdirected",
            Self::NoEndpoint => "no-endpoint",
            Self::NoRoute => "no-route",
            Self::Overloaded => "overloaded",
            Self::RequestMalformed(_) => "malformed",
            Self::RequestNotTaken => "request-not-taken",
            Self::RequestTooSlow => "request-too-slow",
            Self::TimedOut => "timed-out",
        }
    }
}

#[cfg(test)]
mod tests;
