//! The programs themselves, run on made-up calls by the few instructions they use. What the
//! kernel makes of them is in `tests/`.

use seccompiler::{BpfProgram, TargetArch};

use super::{CLONE3, NEWEST_KNOWN_CALL, X32_BIT, filter, gate};
use crate::policy::{CallRule, Condition, Test, When};

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0000 | libc::EPERM as u32;
const ENOSYS: u32 = 0x0005_0000 | libc::ENOSYS as u32;
const KILL_PROCESS: u32 = 0x8000_0000;
const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;

/// The answer to one call: `arch`, number, arguments.
fn answer(program: &BpfProgram, arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut words = vec![number, arch, 0, 0];
    for argument in arguments {
        words.push((argument & 0xffff_ffff) as u32);
        words.push((argument >> 32) as u32);
    }
    let mut accumulator = 0;
    let mut at = 0;
    loop {
        let step = &program[at];
        at += 1;
        let jump = |met| usize::from(if met { step.jt } else { step.jf });
        match step.code {
            0x20 => accumulator = words[step.k as usize / 4],
            0x54 => accumulator &= step.k,
            0x05 => at += step.k as usize,
            0x15 => at += jump(accumulator == step.k),
            0x25 => at += jump(accumulator > step.k),
            0x35 => at += jump(accumulator >= step.k),
            0x06 => return step.k,
            other => panic!("instruction {other:#x} is not among the known"),
        }
    }
}

fn gate_answers(number: u32) -> u32 {
    answer(&gate(), X86_64, number, [0; 6])
}

fn refuses(when: When, arguments: [u64; 6]) -> bool {
    let rule = CallRule { calls: &[7], when, reason: "a test" };
    let program = filter(&[rule], TargetArch::x86_64).unwrap();
    assert_eq!(answer(&program, X86_64, 8, arguments), ALLOW, "another call passes");
    match answer(&program, X86_64, 7, arguments) {
        EPERM => true,
        ALLOW => false,
        other => panic!("{other:#x}"),
    }
}

fn if_argument(argument: u8, wide: bool, test: Test) -> When {
    When::If(Condition { argument, wide, test })
}

#[test]
fn the_gate_passes_every_call_it_knows_but_clone3() {
    for number in 0..=NEWEST_KNOWN_CALL {
        let expected = if number == CLONE3 { ENOSYS } else { ALLOW };
        assert_eq!(gate_answers(number), expected, "call {number}");
    }
}

#[test]
fn a_call_newer_than_the_policies_answers_as_if_the_kernel_had_none() {
    for number in [NEWEST_KNOWN_CALL + 1, 512, 547, 1000, X32_BIT - 1] {
        assert_eq!(gate_answers(number), ENOSYS, "call {number}");
    }
}

#[test]
fn x32_numbers_are_refused() {
    for number in [X32_BIT, X32_BIT | 42, u32::MAX] {
        assert_eq!(gate_answers(number), EPERM, "call {number:#x}");
    }
}

#[test]
fn calls_in_another_processor_mode_end_the_process() {
    let program = filter(&[], TargetArch::x86_64).unwrap();
    assert_eq!(answer(&program, I386, 102, [0; 6]), KILL_PROCESS);
    assert_eq!(answer(&program, X86_64, 102, [0; 6]), ALLOW);
}

#[test]
fn an_unconditional_rule_outweighs_conditional_ones_in_either_order() {
    let conditional =
        CallRule { calls: &[7], when: if_argument(0, false, Test::Is(5)), reason: "a test" };
    let always = CallRule { calls: &[7], when: When::Always, reason: "a test" };
    for rules in [[conditional, always], [always, conditional]] {
        let program = filter(&rules, TargetArch::x86_64).unwrap();
        assert_eq!(answer(&program, X86_64, 7, [0; 6]), EPERM);
    }
}

#[test]
fn an_int_is_compared_by_its_lower_half_only() {
    let is = if_argument(1, false, Test::Is(0x5412));
    assert!(refuses(is, [0, 0x5412, 0, 0, 0, 0]));
    assert!(refuses(is, [0, 0xdead_0000_5412, 0, 0, 0, 0]), "the kernel ignores the upper half");
    assert!(!refuses(is, [0x5412, 0x5413, 0, 0, 0, 0]));
}

#[test]
fn a_long_is_compared_whole() {
    let is_not = if_argument(1, true, Test::IsNot(0));
    assert!(!refuses(is_not, [9, 0, 9, 9, 9, 9]));
    assert!(refuses(is_not, [0, 1, 0, 0, 0, 0]));
    assert!(refuses(is_not, [0, 1 << 32, 0, 0, 0, 0]));
}

#[test]
fn bits_are_found_among_others() {
    let has = if_argument(3, false, Test::HasAnyOf(&[0x2000_0000, 0x80]));
    assert!(refuses(has, [0, 0, 0, 0x2000_4000, 0, 0]));
    assert!(refuses(has, [0, 0, 0, 0x80, 0, 0]));
    assert!(!refuses(has, [0, 0, 0, 0x4040, 0, 0]));
    let lacks = if_argument(0, false, Test::Lacks(0x1_0000));
    assert!(refuses(lacks, [17, 0, 0, 0, 0, 0]));
    assert!(!refuses(lacks, [0x1_0011, 0, 0, 0, 0, 0]));
}

#[test]
fn a_socket_type_is_its_lowest_four_bits() {
    let only = if_argument(1, false, Test::LowFourBitsNoneOf(&[1, 5]));
    let cloexec_nonblock = 0o2_004_000;
    for kind in 0..16 {
        let refused = refuses(only, [1, kind | cloexec_nonblock, 0, 0, 0, 0]);
        assert_eq!(refused, kind != 1 && kind != 5, "type {kind}");
    }
}

#[test]
fn two_conditions_refuse_only_together() {
    let both = When::Both(
        Condition { argument: 0, wide: false, test: Test::Is(4) },
        Condition { argument: 1, wide: true, test: Test::IsNot(0) },
    );
    assert!(refuses(both, [4, 1, 0, 0, 0, 0]));
    assert!(!refuses(both, [4, 0, 0, 0, 0, 0]));
    assert!(!refuses(both, [5, 1, 0, 0, 0, 0]));
}
