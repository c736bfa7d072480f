//! What has been seen: the last look, and a few minutes of figures.

use std::collections::VecDeque;

use frontdoor_api::v1::FrontdoorStatus;
use runtime_api::v1::RuntimeFacts;

use super::super::status::{Heard, Report};

/// Looks that are kept: two minutes.
const KEPT: usize = 120;

/// What the screen shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Overview,
    Refusals,
    Output,
}

/// Everything that is drawn.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) report: Option<Report>,
    pub(super) door: FrontdoorStatus,
    pub(super) facts: RuntimeFacts,
    /// The newest last.
    pub(super) samples: VecDeque<Sample>,
    pub(super) output: Vec<String>,
    pieces: Option<u64>,
}

/// Figures of one look.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sample {
    /// Percent of the whole machine.
    pub(super) cpu: f64,
    pub(super) ram: u64,
    pub(super) vram: u64,
    /// Pieces of streamed answers since the look before, a second earlier.
    pub(super) tokens: u64,
    pub(super) running: u32,
    pub(super) waiting: u32,
}

impl Board {
    /// Takes a look in. What a silent process said before is forgotten: nothing is assumed of it.
    pub(super) fn see(&mut self, heard: Heard, output: Option<Vec<String>>) {
        self.door = heard.frontdoor.clone().unwrap_or_default();
        self.facts = heard.supervisor.clone().unwrap_or_default();
        self.output = output.unwrap_or_default();
        let resources = self.facts.resources.filter(|it| it.observed).unwrap_or_default();
        let pieces = self.door.streamed_pieces;
        // A front door that was replaced counts from nought.
        let tokens = self.pieces.map_or(0, |before| pieces.saturating_sub(before));
        self.pieces = heard.frontdoor.is_some().then_some(pieces);
        self.samples.push_back(Sample {
            cpu: resources.cpu_percent,
            ram: resources.ram_bytes,
            vram: resources.vram_bytes,
            tokens,
            running: self.door.in_flight,
            waiting: self.door.queued,
        });
        if self.samples.len() > KEPT {
            self.samples.pop_front();
        }
        self.report = Some(Report::join(heard));
    }

    pub(super) fn now(&self) -> Sample {
        self.samples.back().copied().unwrap_or_default()
    }

    /// Outcomes of requests, the most frequent first.
    pub(super) fn outcomes(&self) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> =
            self.door.requests.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
        all.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(other.0)));
        all
    }
}
