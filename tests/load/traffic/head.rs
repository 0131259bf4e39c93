//! What the upstream wants of the head of every request: what a proxy adds stands there, what it
//! removes does not.

/// Fields that every proxy of the comparison adds or passes on.
const WANTED: [&[u8]; 8] = [
    b"x-request-id",
    b"traceparent",
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-bench-route",
    b"x-bench-keep",
];
/// Fields that none of them passes on.
const UNWANTED: [&[u8]; 4] = [b"x-bench-remove", b"forwarded", b"via", b"x-real-ip"];

/// A field's name and value.
type Field<'a> = (&'a [u8], &'a [u8]);

/// What of a head is answered to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// The target.
    pub(crate) path: &'a [u8],
    /// The host.
    pub(crate) host: &'a [u8],
    /// Bytes of the body.
    pub(crate) length: usize,
}

/// Checks a head without the empty line at its end.
pub(crate) fn check(head: &[u8]) -> Result<Head<'_>, String> {
    let (path, fields) = parts(head)?;
    fields_of(path, b"", fields)
}

/// Reads a head that nobody has changed.
pub(crate) fn raw(head: &[u8]) -> Result<Head<'_>, String> {
    let (path, fields) = parts(head)?;
    let mut found = Head { path, host: b"", length: 0 };
    for (name, value) in fields {
        if name.eq_ignore_ascii_case(b"host") {
            found.host = value;
        }
    }
    Ok(found)
}

/// The target, and the fields with their values.
fn parts(head: &[u8]) -> Result<(&[u8], impl Iterator<Item = Field<'_>>), String> {
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let mut first = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
    let (Some(_), Some(path), Some(b"HTTP/1.1")) = (first.next(), first.next(), first.next())
    else {
        return Err("no request line".to_owned());
    };
    let fields = lines.map(|line| {
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        (&line[..colon], line.get(colon + 1..).unwrap_or_default().trim_ascii())
    });
    Ok((path, fields))
}

/// The same for fields by name; HTTP/2 says the host apart.
pub(crate) fn fields_of<'a>(
    path: &'a [u8],
    host: &'a [u8],
    fields: impl Iterator<Item = Field<'a>>,
) -> Result<Head<'a>, String> {
    let mut found = Head { path, host, length: 0 };
    let mut seen = [0_u8; WANTED.len()];
    for (name, value) in fields {
        if name.eq_ignore_ascii_case(b"host") {
            found.host = value;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            found.length = length.ok_or("no length")?;
        } else if let Some(at) = WANTED.iter().position(|it| name.eq_ignore_ascii_case(it)) {
            seen[at] += 1;
            wanted(WANTED[at], value, found.host)?;
        } else if UNWANTED.iter().any(|it| name.eq_ignore_ascii_case(it)) {
            return Err(format!("not removed: {}", String::from_utf8_lossy(name)));
        }
    }
    match seen.iter().position(|count| *count != 1) {
        Some(at) => Err(format!("{} times {}", seen[at], String::from_utf8_lossy(WANTED[at]))),
        None => Ok(found),
    }
}

fn wanted(name: &[u8], value: &[u8], host: &[u8]) -> Result<(), String> {
    let right = match name {
        b"x-request-id" => value.len() >= 8,
        b"traceparent" => is_traceparent(value),
        // One address: Envoy names its own in place of one of loopback.
        b"x-forwarded-for" => value.split(|byte| *byte == b'.').count() == 4,
        b"x-forwarded-proto" => matches!(value, b"http" | b"https"),
        b"x-forwarded-host" => host.is_empty() || value == host,
        b"x-bench-route" => is_route(value),
        b"x-bench-keep" => value == b"yes",
        _ => !value.is_empty(),
    };
    let text = String::from_utf8_lossy;
    right.then_some(()).ok_or_else(|| format!("{}: {}", text(name), text(value)))
}

/// A letter and the number of a route, of four digits or more.
fn is_route(value: &[u8]) -> bool {
    matches!(value, [b'a'..=b'z', number @ ..]
        if number.len() >= 4 && number.iter().all(u8::is_ascii_digit))
}

/// `00-<32 digits>-<16 digits>-<2 digits>`, lower-case hexadecimal, no id all zero.
fn is_traceparent(value: &[u8]) -> bool {
    let mut parts = value.split(|byte| *byte == b'-');
    let mut part = |digits: usize| {
        let part = parts.next().unwrap_or_default();
        let lower = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        (part.len() == digits && part.iter().all(lower)).then_some(part)
    };
    let any = |part: &[u8]| part.iter().any(|byte| *byte != b'0');
    part(2) == Some(b"00")
        && part(32).is_some_and(any)
        && part(16).is_some_and(any)
        && part(2).is_some()
        && parts.next().is_none()
}
