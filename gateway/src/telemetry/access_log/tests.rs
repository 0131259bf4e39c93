use std::io::Write;
use std::sync::mpsc::{Sender, channel};

use super::{AccessLog, Entry, WAITING_LINES_MAX};

struct Collector(Sender<Vec<u8>>);

impl Write for Collector {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Blocks every write until its sender is dropped.
struct Stuck(std::sync::mpsc::Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ended = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn each_entry_is_one_line_whatever_a_client_sends() {
    let (sender, written) = channel();
    let log = AccessLog::start(Collector(sender)).unwrap();
    let path = "/a\n{\"status\":200}\r\u{1b}[31m\u{2028}".to_owned();
    log.write(Entry { path: path.clone(), ..Entry::default() });
    log.write(Entry { path: path.clone(), ..Entry::default() });
    drop(log);
    let text = String::from_utf8(written.iter().flatten().collect()).unwrap();
    let lines: Vec<serde_json::Value> =
        text.split_terminator('\n').map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line["path"] == path));
}

#[test]
fn a_stuck_reader_costs_lines_and_no_time() {
    let (release, stuck) = channel();
    let log = AccessLog::start(Stuck(stuck)).unwrap();
    for _ in 0..WAITING_LINES_MAX + 5_000 {
        log.write(Entry::default());
    }
    assert!(log.dropped() > 0);
    drop(release);
}
