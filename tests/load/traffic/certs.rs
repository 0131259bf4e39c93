//! One authority, a server's and a client's certificate: P-256, as all proxies of a row use it.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// Names of the server's certificate: the hosts of all routes, and both gateways of a pair.
const SERVER: [&str; 3] = ["*.bench.example", "near.pair.example", "far.pair.example"];

/// Writes `ca.pem`, and `server` and `client` each as `.pem`, `.key` and both in one (`.both`).
pub(crate) fn write(dir: &Path) -> anyhow::Result<()> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "bench authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    fs::write(dir.join("ca.pem"), authority.pem())?;
    let both = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    for (name, names) in [("server", &SERVER[..]), ("client", &["client.example"])] {
        let key = KeyPair::generate()?;
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = both.to_vec();
        let chain = params.signed_by(&key, &authority)?.pem();
        fs::write(dir.join(format!("{name}.pem")), &chain)?;
        fs::write(dir.join(format!("{name}.key")), key.serialize_pem())?;
        fs::write(dir.join(format!("{name}.both")), chain + &key.serialize_pem())?;
    }
    Ok(())
}
