//! Who is to blame decides what the client is told.

use std::collections::BTreeSet;

use super::*;

/// Each failure with what is told of it.
const ALL: [(Failure, u16, &str, &str); 16] = [
    (Failure::AnswerBroken, 502, "UC", "answer-broken"),
    (Failure::AnswerMalformed, 502, "UPE", "answer-malformed"),
    (Failure::AnswerTooSlow, 504, "UT", "answer-too-slow"),
    (Failure::ClientGone, 499, "DC", "client-gone"),
    (Failure::Closed, 502, "UC", "endpoint-closed"),
    (Failure::ConnectFailed, 503, "UF", "connect-failed"),
    (Failure::ConnectTooSlow, 504, "UF", "connect-too-slow"),
    (Failure::InvalidBackend, 500, "IB", "invalid-backend"),
    (Failure::Misdirected, 421, "MD", "misdirected"),
    (Failure::NoEndpoint, 503, "UH", "no-endpoint"),
    (Failure::NoRoute, 404, "NR", "no-route"),
    (Failure::Overloaded, 503, "UO", "overloaded"),
    (Failure::RequestMalformed(Malformed::Target), 400, "DPE", "malformed"),
    (Failure::RequestNotTaken, 502, "UR", "request-not-taken"),
    (Failure::RequestTooSlow, 408, "DT", "request-too-slow"),
    (Failure::TimedOut, 504, "UT", "timed-out"),
];

#[test]
fn each_failure_has_its_status_flag_and_code() {
    for (failure, status, flag, code) in ALL {
        assert_eq!((failure.status(), failure.flag(), failure.code()), (status, flag, code));
    }
}

#[test]
fn no_two_failures_have_the_same_code() {
    let codes: BTreeSet<_> = ALL.iter().map(|(failure, ..)| failure.code()).collect();
    assert_eq!(codes.len(), ALL.len());
}

#[test]
fn a_malformed_request_gets_the_more_exact_status_where_there_is_one() {
    for (malformed, status) in [
        (Malformed::TargetTooLong, 414),
        (Malformed::HeadTooLarge, 431),
        (Malformed::TooManyFields, 431),
        (Malformed::EncodingUnsupported, 501),
        (Malformed::VersionUnsupported, 505),
        (Malformed::HostDiffers, 400),
    ] {
        assert_eq!(Failure::RequestMalformed(malformed).status(), status);
    }
}

#[test]
fn what_keeps_a_head_from_coming_is_the_endpoints_failure() {
    assert_eq!(Failure::of_head(&ReadError::Closed), Failure::Closed);
    assert_eq!(Failure::of_head(&ReadError::TimedOut), Failure::AnswerTooSlow);
    let malformed = ReadError::Malformed(Malformed::Length);
    assert_eq!(Failure::of_head(&malformed), Failure::AnswerMalformed);
}
