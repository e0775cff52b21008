"""Papers that the methods come from, and which of them a text has cited."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Reference:
    """One paper."""

    short: str
    """As in a sentence: `Platt 1999`."""
    full: str
    doi: str = ""


REFERENCES = {
    "prima": Reference(
        "Lyu et al. 2025",
        "Lyu Y, Harake S, Chowdury A, et al. Learning neuroimaging models from health system-scale data. arXiv 2025.",
        "10.48550/arXiv.2509.18638",
    ),
    "nested": Reference(
        "Varma and Simon 2006",
        "Varma S, Simon R. Bias in error estimation when using cross-validation for model selection. "
        "BMC Bioinformatics 2006;7:91.",
        "10.1186/1471-2105-7-91",
    ),
    "ridge": Reference(
        "Hoerl and Kennard 1970",
        "Hoerl AE, Kennard RW. Ridge regression: biased estimation for nonorthogonal problems. "
        "Technometrics 1970;12:55\u201367.",
        "10.1080/00401706.1970.10488634",
    ),
    "logistic": Reference(
        "le Cessie and van Houwelingen 1992",
        "le Cessie S, van Houwelingen JC. Ridge estimators in logistic regression. "
        "Applied Statistics 1992;41:191\u2013201.",
        "10.2307/2347628",
    ),
    "xgboost": Reference(
        "Chen and Guestrin 2016",
        "Chen T, Guestrin C. XGBoost: a scalable tree boosting system. KDD 2016;785\u2013794.",
        "10.1145/2939672.2939785",
    ),
    "lbfgs": Reference(
        "Liu and Nocedal 1989",
        "Liu DC, Nocedal J. On the limited memory BFGS method for large scale optimization. "
        "Mathematical Programming 1989;45:503\u2013528.",
        "10.1007/BF01589116",
    ),
    "knn": Reference(
        "Cover and Hart 1967",
        "Cover T, Hart P. Nearest neighbor pattern classification. "
        "IEEE Transactions on Information Theory 1967;13:21\u201327.",
        "10.1109/TIT.1967.1053964",
    ),
    "combat": Reference(
        "Johnson et al. 2007",
        "Johnson WE, Li C, Rabinovic A. Adjusting batch effects in microarray expression data using empirical Bayes "
        "methods. Biostatistics 2007;8:118\u2013127.",
        "10.1093/biostatistics/kxj037",
    ),
    "combat-mri": Reference(
        "Fortin et al. 2018",
        "Fortin JP, Cullen N, Sheline YI, et al. Harmonization of cortical thickness measurements across scanners and "
        "sites. NeuroImage 2018;167:104\u2013120.",
        "10.1016/j.neuroimage.2017.11.024",
    ),
    "confounds": Reference(
        "Snoek et al. 2019",
        "Snoek L, Mileti\u0107 S, Scholte HS. How to control for confounds in decoding analyses of neuroimaging data. "
        "NeuroImage 2019;184:741\u2013760.",
        "10.1016/j.neuroimage.2018.09.074",
    ),
    "platt": Reference(
        "Platt 1999",
        "Platt JC. Probabilistic outputs for support vector machines and comparisons to regularized likelihood "
        "methods. In: Advances in Large Margin Classifiers. MIT Press 1999;61\u201374 (without a DOI).",
    ),
    "isotonic": Reference(
        "Zadrozny and Elkan 2002",
        "Zadrozny B, Elkan C. Transforming classifier scores into accurate multiclass probability estimates. "
        "KDD 2002;694\u2013699.",
        "10.1145/775047.775151",
    ),
    "youden": Reference(
        "Youden 1950",
        "Youden WJ. Index for rating diagnostic tests. Cancer 1950;3:32\u201335.",
        "10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3",
    ),
    "cole": Reference(
        "Cole et al. 2018",
        "Cole JH, Ritchie SJ, Bastin ME, et al. Brain age predicts mortality. "
        "Molecular Psychiatry 2018;23:1385\u20131392.",
        "10.1038/mp.2017.62",
    ),
    "correction": Reference(
        "de Lange and Cole 2020",
        "de Lange AMG, Cole JH. Commentary: correction procedures in brain-age prediction. "
        "NeuroImage: Clinical 2020;26:102229.",
        "10.1016/j.nicl.2020.102229",
    ),
    "beheshti": Reference(
        "Beheshti et al. 2019",
        "Beheshti I, Nugent S, Potvin O, Duchesne S. Bias-adjustment in neuroimaging-based brain age frameworks: "
        "a robust scheme. NeuroImage: Clinical 2019;24:102063.",
        "10.1016/j.nicl.2019.102063",
    ),
    "gap": Reference(
        "de Lange et al. 2022",
        "de Lange AMG, Anat\u00fcrk M, Rokicki J, et al. Mind the gap: performance metric evaluation in brain-age "
        "prediction. Human Brain Mapping 2022;43:3113\u20133129.",
        "10.1002/hbm.25837",
    ),
    "slope": Reference(
        "Cox 1958",
        "Cox DR. Two further applications of a model for binary regression. Biometrika 1958;45:562\u2013565.",
        "10.1093/biomet/45.3-4.562",
    ),
    "bootstrap": Reference(
        "Rubin 1981",
        "Rubin DB. The Bayesian bootstrap. The Annals of Statistics 1981;9:130\u2013134.",
        "10.1214/aos/1176345338",
    ),
    "expanded": Reference(
        "Hesterberg 2015",
        "Hesterberg TC. What teachers should know about the bootstrap. The American Statistician 2015;69:371\u2013386.",
        "10.1080/00031305.2015.1089789",
    ),
    "newcombe": Reference(
        "Newcombe 2006",
        "Newcombe RG. Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2. "
        "Statistics in Medicine 2006;25:559\u2013573.",
        "10.1002/sim.2324",
    ),
    "exact": Reference(
        "Clopper and Pearson 1934",
        "Clopper CJ, Pearson ES. The use of confidence or fiducial limits illustrated in the case of the binomial. "
        "Biometrika 1934;26:404\u2013413.",
        "10.1093/biomet/26.4.404",
    ),
    "variance": Reference(
        "Nadeau and Bengio 2003",
        "Nadeau C, Bengio Y. Inference for the generalization error. Machine Learning 2003;52:239\u2013281.",
        "10.1023/A:1024068626366",
    ),
    "cramer": Reference(
        "Bergsma 2013",
        "Bergsma W. A bias-correction for Cram\u00e9r's V and Tschuprow's T. "
        "Journal of the Korean Statistical Society 2013;42:323\u2013328.",
        "10.1016/j.jkss.2012.10.002",
    ),
    "epsilon": Reference(
        "Kelley 1935",
        "Kelley TL. An unbiased correlation ratio measure. "
        "Proceedings of the National Academy of Sciences 1935;21:554\u2013559.",
        "10.1073/pnas.21.9.554",
    ),
    "blocks": Reference(
        "Winkler et al. 2015",
        "Winkler AM, Webster MA, Vidaurre D, Nichols TE, Smith SM. Multi-level block permutation. "
        "NeuroImage 2015;123:253\u2013268.",
        "10.1016/j.neuroimage.2015.05.092",
    ),
    "p-value": Reference(
        "Phipson and Smyth 2010",
        "Phipson B, Smyth GK. Permutation p-values should never be zero: calculating exact p-values when permutations "
        "are randomly drawn. Statistical Applications in Genetics and Molecular Biology 2010;9:39.",
        "10.2202/1544-6115.1585",
    ),
    "scikit-learn": Reference(
        "Pedregosa et al. 2011",
        "Pedregosa F, Varoquaux G, Gramfort A, et al. Scikit-learn: machine learning in Python. "
        "Journal of Machine Learning Research 2011;12:2825\u20132830.",
        "10.48550/arXiv.1201.0490",
    ),
    "numpy": Reference(
        "Harris et al. 2020",
        "Harris CR, Millman KJ, van der Walt SJ, et al. Array programming with NumPy. Nature 2020;585:357\u2013362.",
        "10.1038/s41586-020-2649-2",
    ),
}


@dataclass
class Citations:
    """What one text has cited so far."""

    used: dict[str, Reference] = field(default_factory=dict)

    def __call__(self, *names: str) -> str:
        """Cite, in round brackets."""
        self.used |= {name: REFERENCES[name] for name in names}
        return f"({'; '.join(REFERENCES[name].short for name in names)})"

    def listed(self) -> list[str]:
        """The cited papers by their authors' names, with DOIs."""
        papers = sorted(self.used.values(), key=lambda one: one.full.casefold())
        return [f"{one.full}{f' doi:{one.doi}' if one.doi else ''}" for one in papers]
