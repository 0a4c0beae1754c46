//! An interface that no version of the contract asks for: a plugin may export more than it must.

#![expect(unsafe_code, reason = "generated bindings")]

wit_bindgen::generate!({
    inline: "
        package flow:processor@0.1.0;
        interface timer {
            tick: func();
        }
        world more {
            export timer;
        }
    ",
    world: "more",
});

struct Timer;

impl exports::flow::processor::timer::Guest for Timer {
    fn tick() {}
}

export!(Timer);
