//! Certificates that were found good: a peer that calls again costs no check of its authority's
//! signature.
//!
//! What was found holds for one set of authorities and gateways: whoever has another forgets it all.
//! It holds until the certificate ends, whose key the peer has to prove each time in any case.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::trust::{Peer, Side};

#[cfg(test)]
mod tests;

/// Certificates remembered at once, the oldest goes first: of the gateways that a link has, each
/// with the one from before.
pub(super) const CERTIFICATES_MAX: usize = 256;

/// The certificates, and who holds them.
#[derive(Debug, Default)]
pub(super) struct Judged(ArcSwap<Vec<Arc<Verdict>>>);

#[derive(Debug)]
struct Verdict {
    leaf: CertificateDer<'static>,
    side: Side,
    /// It was valid then, and is since.
    from: UnixTime,
    peer: Peer,
}

impl Judged {
    /// Who presents `chain`, if that was found before and holds still.
    pub(super) fn recall(
        &self,
        chain: &[&CertificateDer<'_>],
        side: Side,
        now: UnixTime,
    ) -> Option<Peer> {
        let [leaf] = chain else { return None };
        let verdicts = self.0.load();
        let verdict = verdicts.iter().find(|verdict| verdict.is_of(leaf, side))?;
        (verdict.from..=verdict.peer.not_after).contains(&now).then(|| verdict.peer.clone())
    }

    /// Remembers that `peer` presented `chain`, which is good. Where authorities stand between, the
    /// end of theirs would count too, and it is not worth the while.
    pub(super) fn remember(
        &self,
        chain: &[&CertificateDer<'_>],
        side: Side,
        now: UnixTime,
        peer: &Peer,
    ) {
        let [leaf] = chain else { return };
        let leaf = (*leaf).clone().into_owned();
        let verdict = Arc::new(Verdict { leaf, side, from: now, peer: peer.clone() });
        self.0.rcu(|verdicts| {
            let others = verdicts.iter().filter(|other| !other.is_of(&verdict.leaf, side));
            let mut next: Vec<_> = others.cloned().collect();
            next.drain(..next.len().saturating_sub(CERTIFICATES_MAX - 1));
            next.push(Arc::clone(&verdict));
            next
        });
    }
}

impl Verdict {
    fn is_of(&self, leaf: &CertificateDer<'_>, side: Side) -> bool {
        self.side == side && self.leaf.as_ref() == leaf.as_ref()
    }
}
