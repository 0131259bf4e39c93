//! One connection: whom it is for, before anybody answers.

pub mod peek;
