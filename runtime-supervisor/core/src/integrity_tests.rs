//! What the accumulator and the identity of a file answer.

use proptest::prelude::*;

use super::*;

/// SHA-256 of "abc" (FIPS 180-4 example).
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

pub(crate) fn confirmed() -> ConfirmedFile {
    ConfirmedFile { spec: validate_spec(ABC, 3).unwrap() }
}

fn identity(size: u64) -> FileIdentity {
    FileIdentity { device: 1, inode: 2, size, changed_s: 3, changed_ns: 4 }
}

fn verified_abc() -> VerifiedBytes {
    let mut accumulator = Accumulator::new(validate_spec(ABC, 3).unwrap());
    accumulator.push(b"abc").unwrap();
    accumulator.finalize().unwrap()
}

#[test]
fn a_digest_is_exactly_64_lowercase_hexadecimal_characters() {
    assert!(validate_spec(ABC, 3).is_ok());
    let mut bad = vec![
        String::new(),
        ABC[1..].to_owned(),
        format!("{ABC}0"),
        ABC.to_uppercase(),
        ABC.replacen('b', "g", 1),
        format!(" {}", &ABC[1..]),
        format!("0x{}", &ABC[2..]),
    ];
    bad.push("é".repeat(32));
    for digest in bad {
        assert_eq!(validate_spec(&digest, 3), Err(Reason::MalformedSpec), "{digest}");
    }
}

#[test]
fn a_size_is_positive() {
    assert_eq!(validate_spec(ABC, 0), Err(Reason::MalformedSpec));
    assert_eq!(validate_spec(ABC, u64::MAX).unwrap().size(), u64::MAX);
}

#[test]
fn exact_bytes_verify() {
    assert_eq!(verified_abc().spec.digest().file_name(), ABC);
}

#[test]
fn too_few_bytes_are_a_size_mismatch() {
    let mut accumulator = Accumulator::new(validate_spec(ABC, 3).unwrap());
    accumulator.push(b"ab").unwrap();
    assert_eq!(accumulator.finalize().unwrap_err(), Reason::SizeMismatch);
}

#[test]
fn one_byte_too_many_is_a_size_mismatch_and_aborts() {
    let mut accumulator = Accumulator::new(validate_spec(ABC, 3).unwrap());
    accumulator.push(b"abc").unwrap();
    assert_eq!(accumulator.push(b"d"), Err(Reason::SizeMismatch));
    assert_eq!(accumulator.push(b""), Err(Reason::AccumulatorAborted));
    assert_eq!(accumulator.finalize().unwrap_err(), Reason::AccumulatorAborted);
}

#[test]
fn finalize_works_once_whatever_it_answered() {
    let mut good = Accumulator::new(validate_spec(ABC, 3).unwrap());
    good.push(b"abc").unwrap();
    good.finalize().unwrap();
    let mut bad = Accumulator::new(validate_spec(ABC, 3).unwrap());
    bad.push(b"abd").unwrap();
    assert_eq!(bad.finalize().unwrap_err(), Reason::DigestMismatch);
    for mut accumulator in [good, bad] {
        assert_eq!(accumulator.finalize().unwrap_err(), Reason::AccumulatorFinalized);
        assert_eq!(accumulator.push(b"a"), Err(Reason::AccumulatorFinalized));
        accumulator.abort();
        assert_eq!(accumulator.finalize().unwrap_err(), Reason::AccumulatorFinalized);
    }
}

#[test]
fn an_aborted_accumulator_verifies_nothing() {
    let mut accumulator = Accumulator::new(validate_spec(ABC, 3).unwrap());
    accumulator.push(b"abc").unwrap();
    accumulator.abort();
    assert_eq!(accumulator.finalize().unwrap_err(), Reason::AccumulatorAborted);
    assert_eq!(accumulator.push(b""), Err(Reason::AccumulatorAborted));
}

#[test]
fn verified_bytes_belong_to_a_file_of_their_size_only() {
    assert!(verified_abc().at(identity(3)).is_ok());
    assert_eq!(verified_abc().at(identity(4)).unwrap_err(), Reason::SizeMismatch);
}

#[test]
fn any_change_of_identity_is_a_digest_mismatch() {
    let file = verified_abc().at(identity(3)).unwrap();
    assert!(file.confirm(&identity(3)).is_ok());
    for changed in every_change_of(identity(3)) {
        assert_eq!(file.confirm(&changed).unwrap_err(), Reason::DigestMismatch);
    }
}

fn every_change_of(identity: FileIdentity) -> [FileIdentity; 5] {
    [
        FileIdentity { device: 9, ..identity },
        FileIdentity { inode: 9, ..identity },
        FileIdentity { size: 9, ..identity },
        FileIdentity { changed_s: 9, ..identity },
        FileIdentity { changed_ns: 9, ..identity },
    ]
}

#[test]
fn a_record_recalls_only_its_own_spec_and_file() {
    let spec = validate_spec(ABC, 3).unwrap();
    let file = verified_abc().at(identity(3)).unwrap();
    let written = serde_json::to_string(&file.record()).unwrap();
    let record: IdentityRecord = serde_json::from_str(&written).unwrap();
    assert_eq!(VerifiedFile::recall(&record, spec, &identity(3)), Some(file));
    for changed in every_change_of(identity(3)) {
        assert_eq!(VerifiedFile::recall(&record, spec, &changed), None);
    }
    let other_digest = validate_spec(&ABC.replace('b', "c"), 3).unwrap();
    assert_eq!(VerifiedFile::recall(&record, other_digest, &identity(3)), None);
    let other_size = validate_spec(ABC, 4).unwrap();
    assert_eq!(VerifiedFile::recall(&record, other_size, &identity(3)), None);
}

#[test]
fn a_digest_is_never_printed() {
    let file = verified_abc().at(identity(3)).unwrap();
    let accumulator = Accumulator::new(file.spec());
    let shown = format!("{file:?} {accumulator:?} {:?}", confirmed());
    assert!(!shown.contains("ba78") && !shown.contains("186"), "{shown}");
}

proptest! {
    #[test]
    fn bytes_verify_in_any_pieces_and_one_flipped_bit_never(
        bytes in prop::collection::vec(any::<u8>(), 1..600),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let digest = hex::encode(Sha256::digest(&bytes));
        let spec = validate_spec(&digest, bytes.len() as u64).unwrap();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut whole = Accumulator::new(spec);
        for pair in cuts.windows(2) {
            whole.push(&bytes[pair[0]..pair[1]]).unwrap();
        }
        prop_assert_eq!(whole.received(), bytes.len() as u64);
        prop_assert!(whole.finalize().is_ok());

        let mut flipped = bytes.clone();
        flipped[at.index(bytes.len())] ^= 1 << bit;
        let mut accumulator = Accumulator::new(spec);
        accumulator.push(&flipped).unwrap();
        prop_assert_eq!(accumulator.finalize().unwrap_err(), Reason::DigestMismatch);
    }

    #[test]
    fn no_length_but_the_exact_one_verifies(length in 0usize..64, size in 1u64..64) {
        let bytes = vec![7; length];
        let spec = validate_spec(&hex::encode(Sha256::digest(&bytes)), size).unwrap();
        let mut accumulator = Accumulator::new(spec);
        let outcome = accumulator.push(&bytes).and_then(|()| accumulator.finalize().map(|_| ()));
        let expected = if length as u64 == size { Ok(()) } else { Err(Reason::SizeMismatch) };
        prop_assert_eq!(outcome, expected);
    }
}
