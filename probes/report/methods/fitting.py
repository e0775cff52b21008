"""What was fitted, in the order in which it is applied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prima_features.page.digits import count, short
from prima_features.probes.report.content import ReportContent
from prima_features.probes.report.methods.references import Citations
from prima_features.probes.steps.combat import MIN_ROWS
from prima_features.wording import listed

_COVARIATES = {"age": "age", "sex": "sex", "icv": "intracranial volume"}


def fitting(content: ReportContent, cite: Citations) -> str:
    """Adjustment, estimator, calibration, threshold, bias correction, and that training data alone were used."""
    steps = [_adjustment, _estimator, _calibration, _threshold, _correction, _within]
    return " ".join(text for step in steps if (text := step(content, cite)))


def _adjustment(content: ReportContent, cite: Citations) -> str:
    recipe, task = content.evaluation.recipe, content.evaluation.task
    if recipe.harmonize == "combat":
        kept = "sex" if task.is_age else "age and sex"
        unseen = {
            "keep": "studies of sites without training data were left as they were",
            "error": "no site was without training data",
        }[recipe.unseen_sites]
        return (
            f"Features were harmonised between sites with ComBat {cite('combat', 'combat-mri')} with parametric "
            f"empirical-Bayes priors over the features within each site, keeping the effects of {kept}; sites with "
            f"fewer than {MIN_ROWS} training studies counted as unseen, and {unseen}."
        )
    if recipe.confounds:
        names = listed(_COVARIATES[name] for name in recipe.confounds)
        return (
            f"What is linear in {names} was taken out of the features by least squares, missing values counting as "
            f"the mean {cite('confounds')}."
        )
    return "Features were not harmonised between sites, and no confounds were taken out."


def _estimator(content: ReportContent, cite: Citations) -> str:
    task, recipe = content.evaluation.task, content.evaluation.recipe
    options = recipe.make(task).get_params(deep=False)
    loss = "log loss" if task.is_classification else "mean squared error"
    said = _SAID[recipe.estimator_name(task)](options, content, cite)
    return f"The probe was {said}; the values with the least {loss} were chosen."


def _ridge(options: dict[str, Any], content: ReportContent, cite: Citations) -> str:
    return (
        f"ridge regression {cite('ridge')} on {_scaled(options)}, with {grid('a penalty', options['alphas'])}"
    )


def _logistic(options: dict[str, Any], content: ReportContent, cite: Citations) -> str:
    several = "multinomial " if content.evaluation.task.kind == "multiclass" else ""
    components = options["components"]
    on = (
        f"at most {components:,} principal components of {_scaled(options)}"
        if components
        else _scaled(options)
    )
    weights = ", classes weighted inversely to their frequency" if options["class_weight"] else ""
    return (
        f"{several}logistic regression with an L2 penalty {cite('logistic')} on {on}{weights}, with "
        f"{grid('an inverse penalty C', options['C'])}"
    )


def _xgboost(options: dict[str, Any], content: ReportContent, cite: Citations) -> str:
    return (
        f"gradient-boosted trees of XGBoost {cite('xgboost')} on the features as they are, with learning rate "
        f"{short(options['learning_rate'])}, {100 * options['subsample']:.0f}% of the rows a tree and "
        f"{100 * options['colsample']:.0f}% of the features a split, {grid('a depth', options['depths'])} and "
        f"{grid('a number of trees', options['rounds'])}"
    )


def _mlp(options: dict[str, Any], content: ReportContent, cite: Citations) -> str:
    layers = f"{listed(str(n) for n in options['hidden'])} rectified linear units"
    depth = count(len(tuple(options["hidden"])), "hidden layer")
    return (
        f"a neural network with {depth} of {layers} on at most "
        f"{options['components']:,} whitened principal components of the standardised features, fitted by L-BFGS "
        f"{cite('lbfgs')} in at most {options['max_steps']:,} steps, with {grid('an L2 penalty', options['alphas'])}"
    )


def _knn(options: dict[str, Any], content: ReportContent, cite: Citations) -> str:
    votes = ", each class having one vote beforehand" if content.evaluation.task.is_classification else ""
    return (
        f"nearest neighbours {cite('knn')} by distance in at most {options['components']:,} principal components of "
        f"the standardised features{votes}, with {grid('a number of neighbours', options['neighbours'])}"
    )


_SAID = {"ridge": _ridge, "logistic": _logistic, "xgboost": _xgboost, "mlp": _mlp, "knn": _knn}


def _scaled(options: dict[str, Any]) -> str:
    return "the standardised features" if options["standardize"] else "the features as they are"


def grid(what: str, values: Sequence[float]) -> str:
    """`a penalty of 0.1, 1 or 10`, `a penalty of 20 values from 0.01 to 1,000,000`."""
    ordered = sorted(set(values))
    if len(ordered) > 5:
        return f"{what} of {len(ordered)} values from {short(ordered[0])} to {short(ordered[-1])}"
    return f"{what} of {listed((short(value) for value in ordered), 'or')}"


def _calibration(content: ReportContent, cite: Citations) -> str:
    method, task = content.evaluation.recipe.calibration, content.evaluation.task
    if not task.is_classification:
        return ""
    if method == "none":
        return "Probabilities were not calibrated."
    how = "Platt's logistic curve" if method == "platt" else "isotonic regression"
    rest = ", each class against the rest and divided by their sum" if task.kind == "multiclass" else ""
    on = "on inner-fold predictions of training subjects"
    return f"Probabilities were calibrated by {how} {cite(method)} {on}{rest}."


def _threshold(content: ReportContent, cite: Citations) -> str:
    kind = content.evaluation.task.kind
    if kind == "binary":
        return (
            "The threshold for balanced accuracy, sensitivity and specificity was that of the highest Youden index "
            f"{cite('youden')} of inner-fold predictions of training subjects."
        )
    if kind == "multiclass":
        return (
            "The class was that whose probability was highest relative to its frequency in training, or the most "
            "probable one where that gave a better balanced accuracy on inner-fold predictions of training subjects."
        )
    return ""


def _correction(content: ReportContent, cite: Citations) -> str:
    if not content.evaluation.task.is_age:
        return ""
    line = "on inner-fold predictions of training subjects"
    raw = f"the metrics are of uncorrected predictions {cite('gap')}"
    method = content.evaluation.recipe.bias_correction
    if method == "cole":
        return (
            f"The age bias of the gap was corrected after Cole {cite('cole', 'correction')}: predicted age = "
            f"a \u00d7 age + b was fitted {line}, and corrected age = (predicted age \u2212 b) / a; {raw}."
        )
    if method == "beheshti":
        return (
            f"The age bias of the gap was corrected after Beheshti {cite('beheshti')}: predicted age \u2212 age = "
            f"a \u00d7 age + b was fitted {line}, and corrected age = predicted age \u2212 (a \u00d7 age + b), which "
            f"uses the subject's own age; {raw}."
        )
    return "The age bias of the gap was not corrected."


def _within(content: ReportContent, cite: Citations) -> str:
    where = "the training set" if content.is_external or _one_fold(content) else "the training folds"
    return f"All of this was fitted on {where} alone."


def _one_fold(content: ReportContent) -> bool:
    splits = content.evaluation.splits
    return splits is not None and len(splits.folds) == 1
