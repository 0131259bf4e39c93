//! Writes every message of the table as a seed for the target `h1`.
use std::path::Path;

#[path = "../../support/corpus.rs"]
#[allow(dead_code, reason = "the verdicts are not needed here")]
mod table;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let seeds = root.join("corpus/h1");
    std::fs::create_dir_all(&seeds)?;
    let text = std::fs::read_to_string(root.join("../corpus/h1.txt"))?;
    for case in table::read(&text)? {
        let kind = match case.asker {
            None => 0,
            Some(table::Asker::Get) => 1,
            Some(table::Asker::Head) => 2,
            Some(table::Asker::Old) => 3,
            Some(table::Asker::WebSocket) => 4,
        };
        std::fs::write(seeds.join(&case.name), [&[kind, 7], case.bytes.as_slice()].concat())?;
    }
    Ok(())
}
