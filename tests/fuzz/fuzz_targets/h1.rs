//! Any bytes as requests or as an answer: no panic; the verdict does not depend on how they arrive; what is forwarded
//! is forwarded unchanged by the next of our kind.
#![no_main]

use futures::FutureExt;
use libfuzzer_sys::fuzz_target;

#[path = "../../../gateway/src/http"]
#[allow(dead_code, unused_imports, reason = "the target uses a part of the codec")]
mod http_codec {
    pub mod h1;
}
use http_codec::h1;

#[path = "../../support/relay.rs"]
mod relay;
#[path = "../../support/corpus.rs"]
#[allow(dead_code, reason = "only the verdicts are needed here")]
mod table;

use relay::{Outcome, Pieces, answers, joined, requests};
use table::{Asker, End};

fn run(kind: u8, pieces: Pieces) -> Outcome {
    let asker = match kind % 5 {
        0 => return requests(pieces).now_or_never().expect("a peer that never waits"),
        1 => Asker::Get,
        2 => Asker::Head,
        3 => Asker::Old,
        _ => Asker::WebSocket,
    };
    answers(asker, pieces).now_or_never().expect("a peer that never waits")
}

fuzz_target!(|data: &[u8]| {
    let [kind, size, bytes @ ..] = data else { return };
    let whole = run(*kind, Pieces::new([bytes]));
    let pieces = bytes.chunks(usize::from(*size).max(1));
    let cut = joined(run(*kind, Pieces::new(pieces)));
    assert_eq!(joined(whole.clone()), cut);
    if kind % 5 == 0 {
        let again = run(0, Pieces::new([whole.forwarded.as_slice()]));
        assert_eq!(again.end, End::Clean);
        assert_eq!(joined(again).forwarded, cut.forwarded);
    }
});
