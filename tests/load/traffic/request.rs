//! The requests of the load, and what a right answer to each is.

use std::fmt::Write as _;

use super::bulk::LARGE;

/// Length of a small answer's body.
pub(crate) const SMALL: usize = 128;

/// What a browser sends beyond the method and the host, some 700 bytes.
const BROWSER: &str = "\
user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r
accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r
accept-encoding: gzip, deflate, br, zstd\r
accept-language: en-GB,en;q=0.9,de;q=0.8\r
cache-control: max-age=0\r
cookie: session=4f0c2b7d9a1e4c35b8d6f7a0913e5c24; theme=dark; consent=analytics%3Dno%26ads%3Dno; seen=1732581123\r
referer: https://www.bench.example/catalog/list?page=4&sort=price\r
sec-ch-ua: \"Chromium\";v=\"126\", \"Not.A/Brand\";v=\"24\"\r
sec-ch-ua-mobile: ?0\r
sec-ch-ua-platform: \"Linux\"\r
sec-fetch-dest: document\r
sec-fetch-mode: navigate\r
sec-fetch-site: same-origin\r
upgrade-insecure-requests: 1\r
";
/// What a program sends.
const PROGRAM: &str = "user-agent: load/1\r\naccept: */*\r\n";

/// Which fields the requests carry.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Fields {
    /// Two fields.
    Program,
    /// Those of a browser.
    Browser,
}

impl Fields {
    /// As they stand in a head.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Program => PROGRAM,
            Self::Browser => BROWSER,
        }
    }
}

/// One request: all of it follows from a number.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Request {
    /// Counts requests of this process.
    pub(crate) number: u64,
    /// Which host.
    pub(crate) host: u64,
}

impl Request {
    /// Its path.
    pub(crate) fn path(self) -> String {
        format!("/r/{:010}", self.number)
    }

    /// Its host.
    pub(crate) fn host(self) -> String {
        format!("h{:04}.bench.example", self.host)
    }

    /// Tells which endpoint sent this body, or what is wrong with it.
    pub(crate) fn check(self, body: &[u8]) -> Result<usize, String> {
        let wanted = format!("{} {} e", self.path(), self.host());
        let rest = body.strip_prefix(wanted.as_bytes());
        let endpoint = rest
            .and_then(|rest| rest.get(..2))
            .and_then(|two| std::str::from_utf8(two).ok().and_then(|digits| digits.parse().ok()));
        match endpoint {
            Some(endpoint) if body.len() == SMALL => Ok(endpoint),
            _ => Err(format!("not the answer to {wanted}: {}", String::from_utf8_lossy(body))),
        }
    }
}

/// Makes requests to hosts that are drawn evenly.
#[derive(Debug)]
pub(crate) struct Requests {
    fields: Fields,
    raw: bool,
    /// For each host what stands behind the path.
    tails: Vec<Vec<u8>>,
    made: u64,
    chance: u64,
}

impl Requests {
    /// Begins at number 0; hosts are `h0000.bench.example` and so on.
    pub(crate) fn new(fields: Fields, raw: bool, hosts: u64) -> Self {
        let tail = |host| {
            let host = Request { number: 0, host }.host();
            let mut text = String::new();
            // The last two are for the proxies to remove and to pass on.
            let written = write!(
                text,
                " HTTP/1.1\r\nhost: {host}\r\n{}x-bench-remove: secret\r\nx-bench-keep: yes\r\n\r\n",
                fields.text()
            );
            debug_assert!(written.is_ok(), "writing to a String");
            text.into_bytes()
        };
        let tails = (0..hosts).map(tail).collect();
        Self { fields, raw, tails, made: 0, chance: 0x9E37_79B9_7F4A_7C15 }
    }

    /// Whether the bytes go through unread: nobody adds or removes a field.
    pub(crate) const fn raw(&self) -> bool {
        self.raw
    }

    /// The next one.
    pub(crate) const fn next(&mut self) -> Request {
        // Xorshift: evenly enough spread, and the same in every run.
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.made += 1;
        Request { number: self.made, host: self.chance % self.tails.len() as u64 }
    }

    /// Its head as HTTP/1.1 writes it.
    pub(crate) fn write(&self, request: Request, into: &mut Vec<u8>) {
        into.extend_from_slice(b"GET /r/");
        let mut digits = *b"0000000000";
        let mut rest = request.number;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        into.extend_from_slice(&digits);
        into.extend_from_slice(&self.tails[usize::try_from(request.host).unwrap_or_default()]);
    }
}

impl Requests {
    /// The head of a request with a large body, or for one.
    pub(crate) fn large(&self, request: Request, up: bool) -> Vec<u8> {
        let (method, place) = if up { ("POST", 'u') } else { ("GET", 'b') };
        let length = if up { format!("content-length: {LARGE}\r\n") } else { String::new() };
        format!(
            "{method} /{place}/{:010} HTTP/1.1\r\nhost: {}\r\n{}{length}x-bench-remove: secret\r\n\
             x-bench-keep: yes\r\n\r\n",
            request.number,
            request.host(),
            self.fields.text()
        )
        .into_bytes()
    }
}

/// What has arrived of an answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Not all of it.
    Partly,
    /// All of it, from this endpoint.
    Right(usize),
    /// Something else.
    Wrong(String),
}

/// Looks at an HTTP/1.1 answer to this request; a raw one has the fields of the upstream.
pub(crate) fn answer(request: Request, bytes: &[u8], raw: bool) -> Answer {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Answer::Partly };
    let (head, body) = (&bytes[..end], &bytes[end + 4..]);
    let shown = || String::from_utf8_lossy(bytes).into_owned();
    if !head.starts_with(b"HTTP/1.1 200") {
        return Answer::Wrong(shown());
    }
    let (mut length, mut served) = (None, false);
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = memchr::memchr(b':', line) else { return Answer::Wrong(shown()) };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
        } else if name.eq_ignore_ascii_case(b"x-bench-served") {
            served = value == b"yes";
        } else if !raw && name.eq_ignore_ascii_case(b"x-bench-secret") {
            return Answer::Wrong(format!("a field was not removed: {}", shown()));
        }
    }
    let Some(length) = length else { return Answer::Wrong(format!("no length: {}", shown())) };
    if !served && !raw {
        return Answer::Wrong(format!("a field was not added: {}", shown()));
    }
    if body.len() < length {
        return Answer::Partly;
    }
    if body.len() > length {
        return Answer::Wrong(format!("more than the answer: {}", shown()));
    }
    request.check(body).map_or_else(Answer::Wrong, Answer::Right)
}
