//! Steps of surfaces, profiles, planes between models and along training, and sharpness.

use std::collections::BTreeSet;

use super::reliability::model_stem;
use super::{
    MARKS, Model, Plan, comparison_path, critical_path, densities_figure, densities_path, distance_figure,
    eigen_path, figure, kind_figure, kind_stem, layers_figure, layers_path, listed, models_path, of_seed,
    part_name, part_words, profile_figure, profile_path, set_of, sharpness_path, surface_path, surface_runs,
    surface_set, trajectory_stem,
};
use crate::analysis::config::{Parsed, Part};
use crate::analysis::titles::mask_title;
use crate::landscape::mask::Select;
use crate::run::step::Step;
use crate::stages::word;

impl Plan<'_> {
    pub(super) fn surfaces(&self) -> Vec<Step> {
        let Some(surface) = &self.analysis.surface else { return Vec::new() };
        let mut steps = Vec::new();
        for part in self.analysis.surfaces_over() {
            let name = part_name(part);
            steps.extend(self.surface_sets(part));
            let mut titles = Vec::new();
            let mut drawn = Vec::new();
            for model in &self.models {
                for Parsed(mask) in &surface.masks {
                    let runs = surface_runs(self.analysis, model);
                    for (k, run) in (0..surface.draws).flat_map(|k| runs.iter().map(move |run| (k, *run))) {
                        let out = surface_path(self.analysis, part, (model, run), mask, k);
                        let seed = of_seed(self.analysis, run).replace("_seed", ", seed ");
                        let of = format!("{}{seed}, {}", model.title, mask_title(mask));
                        let step =
                            self.random(format!("surface of {of}, {name}{}", draw(k)), part, run, mask, k);
                        let step = step.options(&surface.axes, self.analysis.gives("surface"));
                        let step = step.options(&surface.sampling, self.analysis.gives("surface"));
                        steps.push(match surface.sampling.tolerance {
                            None => results(step.word("--per-example"), &out)
                                .also_writes(beside(&out, "examples.safetensors")),
                            Some(_) => results(step, &out),
                        });
                    }
                    titles.push(format!("{}: {}", model.title, mask_title(mask)));
                    drawn.push(surface_path(self.analysis, part, (model, runs[0]), mask, 0));
                }
            }
            for (view, what) in [("flat", "contours"), ("3d", "surfaces")] {
                let step = figure(&format!("{what}_{name}"), &format!("figure of the {what}, {name}"));
                let step = drawn.iter().fold(step, |step, path| step.file(path));
                // A row for each model; of one model alone the figure arranges itself.
                let columns = Some(surface.masks.len().min(4)).filter(|_| self.models.len() > 1);
                let step = step.option("--titles", listed(&titles)).maybe("--columns", columns);
                let step = step.option("--label", self.analysis.loss_label());
                steps.push(step.option("--view", view));
            }
            // A refined or sampled surface has no losses by example at every point.
            if self.models.len() > 1 && surface.sampling.tolerance.is_none() {
                steps.push(self.difference(part, &drawn, &titles));
            }
        }
        steps
    }

    /// The rises of each model less the first one's; `drawn` and `titles` go through the masks, model by model.
    fn difference(&self, part: Part, drawn: &[String], titles: &[String]) -> Step {
        let name = part_name(part);
        let step = figure(&format!("difference_{name}"), &format!("figure of the differences, {name}"));
        let masks = drawn.len() / self.models.len();
        let firsts = || (0..self.models.len() - 1).flat_map(|_| 0..masks);
        let pairs: Vec<usize> = firsts().chain(masks..drawn.len()).collect();
        let step = pairs.iter().fold(step, |step, i| {
            step.file(&drawn[*i]).also_reads(beside(&drawn[*i], "examples.safetensors"))
        });
        let titles: Vec<&String> = pairs.iter().map(|i| &titles[*i]).collect();
        let step = step.option("--titles", listed(&titles)).word("--difference");
        step.option("--label", self.analysis.loss_label())
    }

    /// The sets of a part that runs are looked at over: that of the first seed, and others' where theirs are others.
    fn surface_sets(&self, part: Part) -> Vec<Step> {
        let examples = self.analysis.surface.as_ref().and_then(|surface| surface.examples);
        let all = self.analysis.sharpness.is_some() && self.analysis.surfaces_over()[0] == part;
        let looked_at = |model: &'_ Model| -> Vec<String> {
            match all {
                true => model.runs.clone(),
                false => surface_runs(self.analysis, model).into_iter().flatten().cloned().collect(),
            }
        };
        let seed = |run: &String| run.rsplit("/seed").next()?.parse::<u64>().ok();
        let own = self.models.iter().flat_map(looked_at).filter_map(|run| seed(&run));
        let own = own.filter(|_| self.analysis.part_by_seed(part));
        let seeds: BTreeSet<u64> = own.chain([self.analysis.seed]).collect();
        let set = |seed: u64| {
            let run = format!("/seed{seed}");
            let words = of_seed(self.analysis, Some(&run)).replace("_seed", ", seed ");
            let name = format!("set for the surfaces, {}{words}", part_name(part));
            self.freeze(&name, (part, seed), examples, &set_of(self.analysis, part, Some(&run)))
        };
        seeds.into_iter().map(set).collect()
    }

    /// The k-th random directions of a model's run, under a mask, over a part.
    fn random(&self, name: String, part: Part, run: Option<&String>, mask: &Select, k: usize) -> Step {
        let mut step = self.gaussian(self.at(name, "surface", run, &set_of(self.analysis, part, run)));
        if k > 0 {
            step = step.option("--draw", k);
        }
        self.masked(step, mask)
    }

    /// How random directions are drawn.
    fn gaussian(&self, step: Step) -> Step {
        let Some(surface) = &self.analysis.surface else { return step };
        step.options(&surface.gaussian, self.analysis.gives("surface"))
    }

    fn masked(&self, step: Step, mask: &Select) -> Step {
        let step = step.option("--mask", mask);
        let Some(surface) = self.analysis.surface.as_ref().filter(|_| *mask != Select::All) else {
            return step;
        };
        step.reads("--fisher", self.fisher_file())
            .option("--mask-seed", self.analysis.seed)
            .options(&surface.mask, self.analysis.gives("surface"))
    }

    pub(super) fn profiles(&self) -> Vec<Step> {
        let (Some(surface), Some(profile)) = (&self.analysis.surface, &self.analysis.profile) else {
            return Vec::new();
        };
        let mut steps = Vec::new();
        for part in self.analysis.surfaces_over() {
            let over = part_name(part);
            let distances = format!("figure of the rises against the distance, {over}");
            let mut distances = figure(&distance_figure(part), &distances).word("--distance");
            let mut of_distances = Vec::new();
            for Parsed(mask) in &surface.masks {
                let title = mask_title(mask);
                let name = format!("figure of the profiles, {title}, {over}");
                let mut figure = figure(&profile_figure(part, mask), &name);
                let mut titles = Vec::new();
                for model in &self.models {
                    for k in 0..profile.draws {
                        let out = profile_path(part, model, mask, k);
                        let name = format!("profile of {}, {title}, {over}{}", model.title, draw(k));
                        let step = self.random(name, part, model.runs.first(), mask, k).word("--profile");
                        let step = step.options(&profile.axes, self.analysis.gives("profile"));
                        let step = step.options(&profile.sampling, self.analysis.gives("profile"));
                        let step = results(step, &out);
                        steps.push(match profile.sampling.tolerance {
                            None => step.also_writes(beside(&out, "examples.safetensors")),
                            Some(_) => step,
                        });
                        titles.push(model.title.clone());
                        of_distances.push(format!("{}: {title}", model.title));
                        distances = distances.file(&out);
                        figure = figure.file(out);
                    }
                }
                let figure = figure.option("--titles", listed(&titles));
                steps.push(figure.option("--label", self.analysis.loss_label()));
            }
            if surface.masks.len() > 1 {
                let distances = distances.option("--titles", listed(&of_distances));
                steps.push(distances.option("--label", self.analysis.loss_label()));
            }
        }
        steps
    }

    /// The plane through the checkpoint and the first two arms, and the lines between them.
    pub(super) fn plane(&self) -> Vec<Step> {
        let Some(plane) = &self.analysis.plane else { return Vec::new() };
        let parts = self.analysis.surfaces_over();
        let set = surface_set(parts[0]);
        let arms: Vec<(&str, &String)> =
            self.models.iter().take(2).filter_map(|m| Some((m.title.as_str(), m.runs.first()?))).collect();
        let names = |of: &[&str]| listed(&["pre-trained"].iter().chain(of).collect::<Vec<_>>());
        let mut steps = Vec::new();
        if let [(first, one), (second, other)] = arms[..] {
            let step = self.with_checkpoint("plane through the models", "directions").reads("--set", &set);
            let step = step
                .reads_all("--to", &[one.clone(), other.clone()])
                .option("--names", names(&[first, second]));
            steps.push(self.directions(step, "planes/models.safetensors"));
            let mut drawn = figure("plane", "figure of the plane through the models");
            for &part in &parts {
                let out = models_path(part);
                let name = format!("surface through the models, {}", part_name(part));
                let step = self.with_checkpoint(name, "surface").reads("--set", surface_set(part));
                let step = step.option("--seed", self.analysis.seed).maybe("--resolution", plane.resolution);
                let step = step.reads("--directions", "planes/models.safetensors");
                let step = step.options(&plane.sampling, self.analysis.gives("plane"));
                steps.push(results(spanned(step, &plane.span), &out));
                drawn = drawn.file(out);
            }
            let titles: Vec<&str> = parts.iter().map(|part| part_words(*part, true)).collect();
            let drawn = drawn.reads("--marks", MARKS).option("--titles", listed(&titles));
            let drawn = drawn
                .option("--x-label", format!("towards {first}"))
                .option("--y-label", "at a right angle to it");
            steps.push(drawn.option("--label", self.analysis.loss_label()));
        }
        let mut lines: Vec<(String, Option<&String>, &String)> = Vec::new();
        for (title, run) in &arms {
            lines.push((format!("pre-trained → {title}"), None, run));
        }
        if let [(first, one), (second, other)] = arms[..] {
            lines.push((format!("{first} → {second}"), Some(one), other));
        }
        for (i, (title, from, to)) in lines.iter().enumerate() {
            let step = match from {
                Some(run) => Step::new(format!("line {title}"), "directions").reads("--checkpoint", *run),
                None => self.with_checkpoint(format!("line {title}"), "directions"),
            };
            let step =
                step.reads("--set", &set).reads("--to", *to).option("--names", "first model,second model");
            steps.push(self.directions(step, &format!("planes/line{i}.safetensors")));
        }
        for &part in &parts {
            let name = part_name(part);
            let mut drawn = figure(&format!("lines_{name}"), &format!("figure of the lines, {name}"));
            for (i, (title, from, _)) in lines.iter().enumerate() {
                let step = match from {
                    Some(run) => Step::new(format!("losses along {title}, {name}"), "surface")
                        .reads("--checkpoint", *run),
                    None => self.with_checkpoint(format!("losses along {title}, {name}"), "surface"),
                };
                let step = step.reads("--set", surface_set(part)).option("--seed", self.analysis.seed);
                let step = step.reads("--directions", format!("planes/line{i}.safetensors"));
                let step = step.maybe("--resolution", plane.line_resolution.map(with_both_models));
                let out = format!("planes/line{i}_{name}.csv");
                let step = results(spanned(step, &[-0.25, 1.25]), &out);
                steps.push(step.also_writes(beside(&out, "examples.safetensors")));
                drawn = drawn.file(out);
            }
            let titles: Vec<&String> = lines.iter().map(|(title, ..)| title).collect();
            let barrier = figure(&format!("barrier_{name}"), &format!("figure of the barriers, {name}"));
            let line = |i: usize, ending: &str| format!("planes/line{i}_{name}.{ending}");
            let barrier = (0..lines.len()).fold(barrier, |step, i| {
                step.file(line(i, "csv")).also_reads(line(i, "examples.safetensors"))
            });
            let barrier = barrier.option("--titles", listed(&titles)).word("--barrier");
            steps.push(barrier.option("--label", self.analysis.loss_label()));
            let drawn = drawn
                .option("--titles", listed(&titles))
                .reads("--marks", "planes/line0.marks.csv")
                .option("--x-label", "along the line between two models");
            steps.push(drawn.option("--label", self.analysis.loss_label()));
        }
        steps
    }

    fn directions(&self, step: Step, out: &str) -> Step {
        let stem = out.strip_suffix(".safetensors").unwrap_or(out);
        let step = step.option("--seed", self.analysis.seed).writes("--out", out);
        step.also_writes(format!("{stem}.marks.csv")).also_writes(format!("{stem}.json"))
    }

    /// The path of each arm's first run, in its own plane.
    pub(super) fn trajectory(&self) -> Vec<Step> {
        let Some(trajectory) = &self.analysis.trajectory else { return Vec::new() };
        let part = self.analysis.surfaces_over()[0];
        let set = surface_set(part);
        let mut steps = Vec::new();
        let mut drawn = figure("trajectory", "figure of the trajectories");
        let (mut marks, mut titles) = (Vec::new(), Vec::new());
        for model in &self.models {
            let Some(run) = model.runs.first() else { continue };
            let stem = trajectory_stem(model);
            let plane = format!("{stem}.safetensors");
            let step = Step::new(format!("plane of the training of {}", model.title), "directions");
            let step = step.reads("--checkpoint", run).reads("--set", &set);
            steps.push(self.directions(step.reads("--trajectory", format!("{run}/trajectory")), &plane));
            let step = Step::new(format!("surface around the training of {}", model.title), "surface");
            let step = step.reads("--checkpoint", run).reads("--set", &set).reads("--directions", &plane);
            let step = step.option("--seed", self.analysis.seed).maybe("--resolution", trajectory.resolution);
            let step = step.options(&trajectory.sampling, self.analysis.gives("trajectory"));
            let out = format!("{stem}_surface.csv");
            steps.push(results(spanned(step, &trajectory.span), &out));
            drawn = drawn.file(out);
            marks.push(format!("{stem}.marks.csv"));
            titles.push(model.title.clone());
        }
        let drawn = marks.iter().fold(drawn, |step, marks| step.reads("--marks", marks));
        let drawn = drawn.option("--titles", listed(&titles));
        let drawn = drawn.option("--x-label", "first principal component").option("--y-label", "second");
        steps.push(drawn.option("--label", self.analysis.loss_label()));
        steps
    }

    /// The planes of each kind around the models.
    pub(super) fn kinds(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for plane in &self.analysis.planes {
            let (Parsed(source), set) = (plane.kind, surface_set(self.analysis.surfaces_over()[0]));
            let mut drawn = figure(&kind_figure(source), &format!("figure of the planes, {}", source.name));
            for model in &self.models {
                let stem = kind_stem(source, model);
                let directions = format!("{stem}.safetensors");
                let of = |name: String, command: &str| match model.runs.first() {
                    Some(run) => Step::new(name, command).reads("--checkpoint", run),
                    None => self.with_checkpoint(name, command),
                };
                let step = of(format!("{} plane of {}", source.name, model.title), "directions");
                let step = step.reads("--set", &set).option("--kind", source.name);
                steps.push(self.directions(step, &directions));
                let step = of(format!("surface in the {} plane of {}", source.name, model.title), "surface");
                let step = step.reads("--set", &set).reads("--directions", &directions);
                let step = step.option("--seed", self.analysis.seed).maybe("--resolution", plane.resolution);
                let out = format!("{stem}_surface.csv");
                steps.push(results(spanned(step, &plane.span), &out));
                drawn = drawn.file(out);
            }
            let titles = listed(&self.models.iter().map(|model| &model.title).collect::<Vec<_>>());
            let [x, y] = source.axes;
            let drawn = drawn.option("--titles", titles).option("--x-label", x).option("--y-label", y);
            steps.push(drawn.option("--label", self.analysis.loss_label()));
        }
        steps
    }

    /// Sharpness of every run, each arm against the first, and the planes of leading eigenvectors.
    pub(super) fn sharpness(&self) -> Vec<Step> {
        let Some(sharpness) = &self.analysis.sharpness else { return Vec::new() };
        let part = self.analysis.surfaces_over()[0];
        let mut steps = Vec::new();
        let mut spectrum = figure("spectrum", "figure of the spectra");
        let mut forest = figure("sharpness", "figure of the sharpness");
        let mut planes = figure("eigenvectors", "figure of the leading eigenvectors");
        let titles = listed(&self.models.iter().map(|model| &model.title).collect::<Vec<_>>());
        let (mut surfaces, mut of_spectra) = (Vec::new(), Vec::new());
        let (mut critical, mut layers) = (Vec::new(), Vec::new());
        for model in &self.models {
            let runs: Vec<Option<&String>> = match model.runs.is_empty() {
                true => vec![None],
                false => model.runs.iter().map(Some).collect(),
            };
            for (k, run) in runs.into_iter().enumerate() {
                let out = sharpness_path(model, run);
                let name = format!("sharpness of {}, run {k}", model.title);
                let set = set_of(self.analysis, part, run);
                let step = self.gaussian(self.at(name, "sharpness", run, &set));
                let mut step = step.options(&sharpness.options, self.analysis.gives("sharpness"));
                if let Some(Parsed(mask)) = &sharpness.mask {
                    step = self.masked(step, mask);
                }
                if let Some(by) = sharpness.by {
                    step = step.option("--by", word(by)).also_writes(layers_path(&out));
                    step = step.also_writes(densities_path(&out));
                    if let Some(fisher) =
                        self.own_fisher(model).filter(|_| k == 0 && sharpness.mask.is_none())
                    {
                        step = step.reads("--fisher", fisher);
                    }
                    if k == 0 {
                        let figure = figure(
                            &layers_figure(model),
                            &format!("figure of the curvature by layer of {}", model.title),
                        );
                        layers.push(figure.file(layers_path(&out)));
                        let figure = super::figure(
                            &densities_figure(model),
                            &format!("figure of the densities by layer of {}", model.title),
                        );
                        layers.push(figure.file(densities_path(&out)));
                    }
                }
                if sharpness.critical {
                    critical.push(self.critical(model, k, run, &set));
                }
                if k == 0 {
                    let directions = eigen_path(model).replace(".csv", ".safetensors");
                    step = step.writes("--save-directions", &directions);
                    let name = format!("surface along the eigenvectors of {}", model.title);
                    let plane = match run {
                        Some(run) => Step::new(name, "surface").reads("--checkpoint", run),
                        None => self.with_checkpoint(name, "surface"),
                    };
                    let plane = plane.reads("--set", &set).reads("--directions", directions);
                    let plane = plane.option("--seed", self.analysis.seed);
                    let plane = plane.options(&sharpness.axes, self.analysis.gives("sharpness"));
                    surfaces.push(results(plane, &eigen_path(model)));
                    planes = planes.file(eigen_path(model));
                }
                // Leading eigenvalues differ more between seeds than between arms.
                spectrum = spectrum.file(beside(&out, "spectrum.csv"));
                of_spectra.push(model.title.clone());
                forest = forest.file(&out);
                let step = step.writes("--out", &out).also_writes(beside(&out, "json"));
                let step = step.also_writes(beside(&out, "spectrum.csv"));
                steps.push(step.also_writes(beside(&out, "examples.safetensors")));
            }
        }
        steps.extend(critical);
        steps.extend(self.against_first("sharpness", str::to_string));
        if sharpness.critical {
            steps.extend(self.against_first("critical sharpness", critical_path));
        }
        steps.push(spectrum.option("--titles", listed(&of_spectra)));
        steps.extend(layers);
        steps.extend(surfaces);
        // Each model's directions have a length of their own: side by side they would hide how sharp it is.
        let planes = planes.option("--titles", titles).option("--label", self.analysis.loss_label());
        steps.push(planes.word("--along-x").option("--x-label", "distance along the first eigenvector"));
        // Runs are paired by seed: where one failed, those left are no pairs.
        if self.models.len() > 1 && self.models.iter().all(|model| model.failed == 0) {
            steps.push(forest.option("--titles", listed(&of_spectra)));
        }
        steps
    }
}

impl Plan<'_> {
    /// The critical sharpness of a model's k-th run.
    fn critical(&self, model: &Model, k: usize, run: Option<&String>, set: &str) -> Step {
        let name = format!("critical sharpness of {}, run {k}", model.title);
        let step = match run {
            Some(run) => Step::new(name, "sharpness").reads("--checkpoint", run),
            None => self.with_checkpoint(name, "sharpness"),
        };
        let out = critical_path(&sharpness_path(model, run));
        let step = step.reads("--set", set).option("--seed", self.analysis.seed).word("--critical");
        let step = step.writes("--out", &out).also_writes(beside(&out, "json"));
        step.also_writes(beside(&out, "examples.safetensors"))
    }

    /// The tables of each arm's runs against those of the first arm's; `of` makes their paths of those of the sharpness.
    fn against_first(&self, what: &str, of: fn(&str) -> String) -> Vec<Step> {
        let first = &self.models[0];
        let paths =
            |m: &Model| m.runs.iter().map(|run| of(&sharpness_path(m, Some(run)))).collect::<Vec<_>>();
        let against = |model: &Model| {
            let step = Step::new(format!("{what} of {} against {}", model.title, first.title), "compare");
            let (one, other) = (paths(first), paths(model));
            let step = step.reads_all("--first", &one).reads_all("--second", &other);
            let beside = |step: Step, path: &String| step.also_reads(beside(path, "examples.safetensors"));
            let step = one.iter().chain(&other).fold(step, beside);
            step.writes("--out", of(&comparison_path(model, first)))
        };
        self.models.iter().skip(1).map(against).collect()
    }

    /// The Fisher information of a model's first run, where other sections ask for it; of the checkpoint its own.
    fn own_fisher(&self, model: &Model) -> Option<String> {
        let asked =
            self.analysis.prune.is_some() || self.analysis.agree.as_ref().is_some_and(|agree| agree.arms);
        match model.runs.is_empty() {
            true => self.analysis.fisher.as_ref().map(|_| self.fisher_file()),
            false => asked.then(|| format!("{}.safetensors", model_stem(model))),
        }
    }
}

/// At least so many points from -0.25 to 1.25 that 0 and 1 are among them.
fn with_both_models(points: usize) -> usize {
    points.saturating_sub(1).div_ceil(6).max(1) * 6 + 1
}

/// The k-th draw, in the name of a step.
fn draw(k: usize) -> String {
    if k == 0 { String::new() } else { format!(", draw {k}") }
}

/// The result of `surface`, and what stands beside it.
fn results(step: Step, out: &str) -> Step {
    step.writes("--out", out).also_writes(beside(out, "json")).also_writes(beside(out, "mask.csv"))
}

fn spanned(step: Step, span: &[f64]) -> Step {
    step.word(format!("--span={}", listed(span)))
}

/// The path of what stands beside a CSV file.
fn beside(csv: &str, extension: &str) -> String {
    format!("{}.{extension}", csv.strip_suffix(".csv").unwrap_or(csv))
}
