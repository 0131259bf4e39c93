//! The body of a message: where its bytes are in the input, and how they are framed in the output.
mod decode;
mod encode;

pub use decode::{Decoder, Step};
pub use encode::{Encoder, LengthBroken};

#[cfg(test)]
mod tests;
