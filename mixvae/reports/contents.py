"""What a report shows in which order: the figures and tables of a run folder, with a caption."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        pictures: Captions of figures, by a pattern of the whole file name without its ending.
        tables: Captions of CSV files, by name.
    """

    title: str
    pictures: dict[str, str] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)

    def caption(self, name: str) -> str | None:
        """The caption of a figure; None if it belongs elsewhere."""
        found = (text for pattern, text in self.pictures.items() if re.fullmatch(pattern, name))
        return next(found, None)


# Sections with charts, see `page`.
SAMPLES, LABELS, CURVES, STATES = "Samples", "Categories and labels", "Learning curves", "States"
LATENTS = "Latents"

MIXTURE = (
    Section(
        "Categories",
        {
            "category_samples": "Samples of each category, the most certain first.",
            "markers": "Marker genes: colour is the mean, size the share of cells with the gene.",
            "samples_per_category": "Samples that each agent and the vote put into each category.",
            "reconstructions": "Samples and their reconstructions by each agent.",
        },
        {"markers.csv": "Marker genes of each category"},
    ),
    Section(
        "Consensus",
        {
            "consensus_matrix": "Consensus of each pair of categories of two agents, mean over"
            " pairs of agents. Where the diagonal is 1, the agents choose the same samples.",
            "risk_coverage": "Accuracy among the samples that the agents agree on most, against"
            " the share of samples kept.",
        },
    ),
    Section(
        SAMPLES,
        {
            "embedding": "Cells by category and, where known, by label and batch.",
            "state_scatter": "States of the first agent, in a plane, by category.",
        },
    ),
    Section(
        LABELS,
        {
            "category_label_table": "Test samples of each category by label, in numbers.",
            "composition_.*": "Share of each group in each category.",
        },
        {
            "batch_composition.csv": "Categories and batches",
            "clusterability.csv": "Separation of categories and labels",
        },
    ),
    Section(
        STATES,
        {
            "state_genes": "Genes that the leading state of each category changes most.",
            r"traversal_state\d+": "Each category decoded while one state grows.",
        },
        {
            "states.csv": "Each state of each category, with its flag",
            "state_genes.csv": "Genes that each state changes, with the state's flag",
            "state_pathways.csv": "Gene sets that each state changes",
        },
    ),
    Section(CURVES, {"learning_curves": "Every term of the objective over epochs."}),
    Section(
        "Number of categories",
        {"model_order": "Consensus and reconstruction as categories are pruned."},
        {"model_order.csv": "Rounds of pruning"},
    ),
)
MODALITIES = (
    Section(LATENTS, {"latents": "Latent means of each modality in a plane, by label."}),
    Section(
        "Coherence and probes",
        {
            "coherence_matrix": "Accuracy of a classifier on a modality (column) that is decoded"
            " from the latents of another (row).",
            "probe_accuracy": "Accuracy of classifiers on latents and samples of each modality.",
        },
    ),
    Section(
        "Imputation",
        {"reconstructions": "Events, and each modality decoded from the latents of each other."},
    ),
    Section(
        "Conditional samples",
        {
            "generated": "Samples of each modality drawn given one, then more, of the others, and"
            " given no event."
        },
    ),
    Section(CURVES, {"learning_curves": "Every term of the objective over epochs."}),
)
