//! Other participants: what is asked of them, and what they ask of us.

pub mod wire;
