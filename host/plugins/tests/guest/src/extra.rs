//! An interface that no version of the contract asks for: a plugin may export more than it must.

#![expect(unsafe_code, reason = "generated bindings")]

wit_bindgen::generate!({
    inline: "
        package flow:processor@1.0.0;
        interface extra {
            more: func();
        }
        world other {
            export extra;
        }
    ",
    world: "other",
});

struct Extra;

impl exports::flow::processor::extra::Guest for Extra {
    fn more() {}
}

export!(Extra);
