//! The program `spanway`.
fn main() {}
