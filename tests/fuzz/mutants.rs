//! Bytes that nobody meant, for the parsers that read what others sent: a committed corpus is
//! replayed, then mutants of it from a fixed seed, each judged by what must hold of every answer.
//! The `hostile_bytes` tests of each crate take this file in by its path.
//!
//! Without coverage feedback, so that it runs on the stable toolchain. `FUZZ_SECONDS=600` makes
//! each target go on for so long, from a seed of the clock, and print how many inputs it saw.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The files of `corpus/NAME` beside the crate's manifest, and what is made of them.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// How many, unless a time is given.
    pub(crate) mutants: u64,
    /// Pieces that the parser looks for.
    pub(crate) words: &'static [&'static [u8]],
}

impl Target {
    /// Replays and mutates; `judge` panics on a wrong answer and says whether it accepted.
    pub(crate) fn fuzz(&self, judge: impl Fn(&[u8]) -> bool) {
        let name = self.name;
        let corpus = self.corpus();
        let accepted = corpus.iter().filter(|input| judge(input)).count();
        assert!(accepted > 0 && accepted < corpus.len(), "{name}: a corpus of both kinds");

        let seconds = std::env::var("FUZZ_SECONDS").ok().map(|text| text.parse().unwrap());
        let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() << 32;
        let first = end.map_or(0, |_| clock());
        let (mut seen, mut accepted) = (0, 0);
        while end.map_or(seen < self.mutants, |end| Instant::now() < end) {
            let seed = first + seen;
            let mut random = Random(seed);
            let mut input = corpus[random.below(corpus.len())].clone();
            self.mutate(&mut input, &corpus, &mut random);
            let judged = catch_unwind(AssertUnwindSafe(|| judge(&input)));
            let shown = input.escape_ascii();
            accepted +=
                u64::from(judged.unwrap_or_else(|_| panic!("{name}, seed {seed}: {shown}")));
            seen += 1;
        }
        println!("{name}: {seen} inputs, {accepted} accepted");
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(self.name);
        let mut files: Vec<_> = dir.read_dir().unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| std::fs::read(file).unwrap()).collect()
    }

    fn mutate(&self, input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
        for _ in 0..=random.below(4) {
            let at = random.below(input.len() + 1);
            let end = (at + random.below(16)).min(input.len());
            match random.below(6) {
                0 if at < input.len() => input[at] ^= 1 << random.below(8),
                1 => drop(input.drain(at..end)),
                2 => {
                    let piece = input[at..end].to_vec();
                    input.splice(at..at, piece);
                }
                3 => {
                    let other = &corpus[random.below(corpus.len())];
                    let from = random.below(other.len() + 1);
                    input.splice(at.., other[from..].iter().copied());
                }
                4 => input.splice(at..at, vec![b'a'; random.below(9000)]).for_each(drop),
                _ => {
                    let word = self.words[random.below(self.words.len())];
                    input.splice(at..at, word.iter().copied());
                }
            }
        }
    }
}

/// The splitmix64 generator: a mutant is told again by its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }
}
