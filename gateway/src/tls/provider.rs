//! Which cryptography is used where.

use std::sync::{Arc, LazyLock};

use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};

/// Cryptography of links and of the control port: the hybrid post-quantum exchange first, and of
/// the ciphers the one that every implementation has (RFC 8446 §9.1). Processors have instructions
/// for its SHA-256 where they have none for SHA-384, and the keys of a handshake come from some fifty
/// hashes.
pub fn link() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![
            kx_group::X25519MLKEM768,
            kx_group::X25519,
            kx_group::SECP256R1,
            kx_group::SECP384R1,
        ],
        ..aws_lc_rs::default_provider()
    })
}

/// Cryptography of HTTPS listeners: what rustls holds safe for the public.
pub fn public() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The signatures that certificates and handshakes may carry.
pub fn signatures() -> WebPkiSupportedAlgorithms {
    static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> =
        LazyLock::new(|| aws_lc_rs::default_provider().signature_verification_algorithms);
    *ALGORITHMS
}
