//! What README and tutorial say, typed into terminals by a person with an empty home.

mod person;
mod spent;

use anyhow::Result;
use typist::{Block, section};

use crate::person::Person;
use crate::spent::Spent;

const README: &str = include_str!("../../../README.md");
const TUTORIAL: &str = include_str!("../../../docs/tutorial.md");

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorial_does_what_it_says() -> Result<()> {
    let person = Person::new().await?;
    person.has_a_clone_that_is_compiled()?;
    person.reads(TUTORIAL, |_| true).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_leads_from_ones_own_model_to_an_answer() -> Result<()> {
    let person = Person::new().await?;
    person.has_a_clone_that_is_compiled()?;
    person.has_a_model_and_a_runtime()?;
    person.reads(README, own_models).await.map(drop)
}

/// What compiles, and what the machine is set up with once, is told apart and not counted.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "compiles a clone: cargo xtask walkthrough"]
async fn a_newcomer_gets_from_clone_to_an_answer_in_five_minutes() -> Result<()> {
    let person = Person::new().await?;
    let cloning = person.clones().await?;
    person.has_a_model_and_a_runtime()?;
    let mut own = Spent::on("its own model", cloning);
    own.reading(section(README, "Your own models"));
    own.doing(&person.reads(README, own_models).await?);
    let mut gateway = Spent::on("the development gateway", cloning);
    gateway.reading(section(README, "Two commands"));
    gateway.compiling(person.compiles_for_development().await?);
    gateway.doing(&person.reads(README, demo).await?);
    for way in [own, gateway] {
        way.says()?;
    }
    Ok(())
}

fn own_models(block: &Block<'_>) -> bool {
    block.heading == "Your own models"
}

fn demo(block: &Block<'_>) -> bool {
    block.text.starts_with("$ cargo xtask demo")
}
