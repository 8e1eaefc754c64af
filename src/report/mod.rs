//! `report.html`: one page that tells a run's whole story and holds all its data.
//!
//! [`write()`] makes a run's page from what its folder holds, so that a page can be made again at any time. The pieces
//! are there for other pages too: [`Page`] renders a template that extends `page.html` with the macros of
//! `parts.html`, [`Chart`] is a plot that the page's script draws, [`Curve`] thins long series out. What an
//! evaluation leaves for the page is described in [`evaluation`].

pub mod chart;
mod curve;
pub mod evaluation;
mod history;
pub mod page;
pub mod provenance;
mod run;
mod story;
mod timeline;

pub use chart::{Chart, Line, plots};
pub use curve::Curve;
pub use history::{History, Point};
pub use page::Page;
pub use run::write;
pub use timeline::{Epoch, TIMELINE};
