"""Sentences of the reports by content; one of each list is drawn.

Spelling is American, as in most public collections of reports. Names in braces are filled in.
"""

VENTRICLES = ("slender ventricles", "ventricles of average width", "generous ventricles", "large ventricles")
"""By their width, narrowest first."""
PATIENT = ("The brain is that of a {patient}.", "The patient is a {patient}.", "Brain of a {patient}.")
WHO = "{age}-year-old {person} in {their} {decade} decade with {ventricles}"
DECADES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
WORDING = 4
"""Raised when reports of the same study change: caches of earlier ones are then made again."""
NORMAL_VENTRICLES = (
    "The ventricles and sulci are normal in size and configuration.",
    "Ventricles and sulci are within normal limits for age.",
    "The ventricular system is normal in caliber.",
)
NORMAL_SULCI = (
    "The sulci are normal in width.",
    "Cortical sulci are within normal limits for age.",
)
"""Sentences for wide ventricles."""
ATROPHY = (
    "There is {degree} generalized cerebral volume loss with prominence of the sulci.",
    "{Degree} diffuse cerebral atrophy.",
)
ATROPHY_WIDE = (
    *ATROPHY,
    "Sulci and ventricles are prominent, in keeping with {degree} cerebral volume loss.",
)
"""If the ventricles are wide too."""
HIPPOCAMPAL = (
    "There is disproportionate volume loss of both hippocampi with widening of the temporal horns.",
    "Bilateral hippocampal atrophy with prominent temporal horns, out of proportion to the rest of the brain.",
    "The medial temporal lobes show marked volume loss, including both hippocampi.",
)
WIDE_VENTRICLES = (
    "The lateral and third ventricles are markedly dilated, out of proportion to the sulci.",
    "There is ventriculomegaly with rounding of the frontal horns and effaced sulci.",
    "Marked enlargement of the lateral ventricles, larger than expected from the sulci.",
)
NO_HYPERINTENSITIES = (
    "No abnormal white matter signal.",
    "The white matter is normal in signal.",
    "Brain parenchymal signal is otherwise unremarkable.",
)
HYPERINTENSITIES = (
    "{Amount} periventricular and subcortical T2/FLAIR hyperintensities, in keeping with {degree} chronic small vessel "
    "ischemic change.",
    "There are {amount} foci of T2/FLAIR hyperintensity in the cerebral white matter, compatible with {degree} "
    "microvascular ischemic disease.",
    "{Amount} white matter hyperintensities on FLAIR, likely {degree} chronic microvascular changes.",
)
NO_INFARCT = (
    "No restricted diffusion to suggest acute infarct.",
    "There is no evidence of acute infarction on diffusion-weighted images.",
)
NO_DIFFUSION = (*NO_INFARCT, "No diffusion abnormality.")
NO_ENHANCEMENT = (
    "No abnormal enhancement after contrast.",
    "There is no pathologic parenchymal or meningeal enhancement.",
    "No abnormal intracranial enhancement is seen.",
)
NO_MASS = (
    "No mass, hemorrhage or extra-axial collection.",
    "There is no intracranial mass, hemorrhage or midline shift.",
    "No mass effect and no extra-axial fluid collection.",
)
FLOW_VOIDS = (
    "The major intracranial flow voids are preserved.",
    "Normal flow voids of the large vessels at the skull base.",
    "The orbits are unremarkable.",
)
SHIFT = (
    "There is {mm} mm of midline shift to the {direction}.",
    "Midline shift to the {direction} measures {mm} mm.",
    "Resulting {direction}ward midline shift of {mm} mm.",
)
EFFECT = (
    "There is local mass effect with effacement of the adjacent sulci.",
    "Adjacent sulci are effaced, consistent with mass effect.",
    "It exerts mass effect on the neighboring parenchyma.",
)
EDEMA = (
    "Surrounding vasogenic edema is present.",
    "There is T2/FLAIR hyperintense edema in the adjacent white matter.",
    "Moderate surrounding edema.",
)
TECHNIQUE = (
    "Multiplanar multisequence MRI of the brain {contrast} intravenous contrast: {sequences}.",
    "{sequences} images of the brain were obtained {contrast} intravenous gadolinium.",
)

LESIONS: dict[str, tuple[str, ...]] = {
    "glioma 4": (
        "A {size} cm necrotic mass is centered in the {where}{rim}.",
        "There is a heterogeneous {size} cm mass in the {where} with central necrosis{rim}.",
    ),
    "glioma 3": (
        "There is a {size} cm infiltrative T2/FLAIR hyperintense mass in the {where}{patchy}.",
        "Expansile T2 hyperintense lesion in the {where} measuring {size} cm{patchy}.",
    ),
    "glioma 2": (
        "There is a homogeneous {size} cm T2/FLAIR hyperintense lesion in the {where} without restricted "
        "diffusion{none}.",
        "A nonnecrotic, infiltrative {size} cm lesion in the {where} is hyperintense on T2 and FLAIR{none}.",
    ),
    "stroke acute": (
        "There is restricted diffusion with low ADC in the {where}, with corresponding T2/FLAIR hyperintensity.",
        "Confluent diffusion restriction is seen in the {where}, ADC values are reduced.",
    ),
    "stroke subacute": (
        "T2/FLAIR hyperintensity in the {where} with diffusion signal and pseudonormalizing ADC.",
        "There is a swollen, T2 hyperintense area in the {where}; ADC is near normal, consistent with evolution.",
    ),
    "stroke chronic": (
        "Encephalomalacia and gliosis in the {where} with ex vacuo change.",
        "There is a fluid-filled defect with surrounding gliosis in the {where}.",
    ),
    "lacune acute": ("A {size} cm focus of restricted diffusion in the {where}.",),
    "lacune subacute": ("A {size} cm focus of T2/FLAIR hyperintensity in the {where} without low ADC.",),
    "lacune chronic": ("A {size} cm cavity in the {where}, following fluid on all sequences.",),
    "plaque": (
        "There are {count} ovoid T2/FLAIR hyperintense lesions, mostly periventricular and perpendicular to the "
        "ventricles{active}.",
        "Numerous ({count}) demyelinating plaques in the periventricular and juxtacortical white matter{active}.",
    ),
    "meningioma": (
        "There is a {size} cm extra-axial dural-based mass along the {where}{homogeneous}.",
        "Well-circumscribed extra-axial lesion at the {where} measuring {size} cm{homogeneous}.",
    ),
    "metastasis": (
        "There are {count} round lesions in the brain with surrounding edema, the largest in the {where} "
        "measuring {size} cm{enhancing}.",
    ),
    "subdural_haematoma acute": (
        "A hypointense crescentic subdural collection, {mm} mm thick, overlies the {where}.",
    ),
    "subdural_haematoma subacute": (
        "A T1 hyperintense crescentic subdural collection overlies the {where}, {mm} mm thick.",
    ),
    "subdural_haematoma chronic": (
        "A crescentic subdural collection of up to {mm} mm, hyperintense on FLAIR, overlies the {where}.",
    ),
    "haemorrhage acute": ("A {size} cm T2 hypointense hematoma is present in the {where}.",),
    "haemorrhage subacute": ("There is a {size} cm T1 hyperintense hematoma in the {where}.",),
    "arachnoid_cyst": (
        "There is a {size} cm extra-axial collection in the {where} that follows fluid on all sequences.",
    ),
    "cavernoma": (
        "There is a {size} cm popcorn-like lesion in the {where} with a hemosiderin rim.",
        "A {size} cm lesion of mixed signal in the {where} has a T2 hypointense rim.",
    ),
    "abscess": ("A {size} cm thin-walled lesion in the {where} shows central restricted diffusion{rim}.",),
    "encephalomalacia": ("There is a defect of the {where} with surrounding gliosis.",),
    "pituitary_adenoma": ("A {size} cm mass arises from the sella and extends upwards{less}.",),
    "schwannoma": ("There is a {size} cm mass in the {where}{enhancing}.",),
    "colloid_cyst": ("There is a {size} cm T1 hyperintense round lesion in the {where}.",),
}
"""By kind, with the grade or stage if there is one."""

CONTRAST: dict[str, str] = {
    "rim": ", with a thick irregular rim of enhancement",
    "patchy": ", with patchy enhancement",
    "none": ", with no enhancement",
    "homogeneous": ", which enhances homogeneously",
    "enhancing": ", with avid enhancement",
    "less": ", enhancing less than the normal gland",
    "active": "; {active} of them enhance",
}
"""Additions if contrast agent was given, by position in a sentence."""

INCIDENTAL: dict[str, tuple[str, ...]] = {
    "mucosa": (
        "There is mucosal thickening in the {where}.",
        "Opacification of the {where}.",
        "T2 hyperintense mucosal swelling of the {where}.",
    ),
    "cavum": (
        "Cavum septi pellucidi.",
        "There is a cavum septi pellucidi.",
    ),
    "mega_cisterna": (
        "Mega cisterna magna.",
        "Prominent retrocerebellar fluid space, in keeping with a mega cisterna magna.",
    ),
    "choroid_cyst": (
        "Bilateral choroid plexus cysts.",
        "Cysts of the choroid plexus in both trigones, likely xanthogranulomas.",
    ),
    "pineal_cyst": (
        "Pineal cyst.",
        "There is a cyst of the pineal gland.",
    ),
    "asymmetry": (
        "The {side} lateral ventricle is larger than the {other}.",
        "Asymmetric lateral ventricles, larger on the {side}.",
    ),
    "hyperostosis": (
        "Hyperostosis frontalis interna.",
        "There is thickening of the inner table of the frontal bone.",
    ),
}
"""Incidental findings, by the kind of the lesion or the changed structure."""

IMPRESSIONS: dict[str, tuple[str, ...]] = {
    "glioma 4": (
        "{Where} mass, most consistent with glioblastoma.",
        "Necrotic {where} mass compatible with high-grade glioma.",
    ),
    "glioma 3": (
        "Infiltrative {where} mass, most consistent with anaplastic astrocytoma.",
        "{Where} mass consistent with WHO grade 3 glioma.",
    ),
    "glioma 2": ("{Where} lesion, most consistent with low-grade glioma.",),
    "stroke acute": ("Acute infarct in the {where}.", "Acute {where} infarction."),
    "stroke subacute": ("Subacute infarct in the {where}.", "Subacute {where} infarction."),
    "stroke chronic": ("Chronic infarct in the {where}.", "Old {where} infarction."),
    "lacune acute": ("Acute lacunar infarct in the {where}.",),
    "lacune subacute": ("Subacute lacunar infarct in the {where}.",),
    "lacune chronic": ("Chronic lacunar infarct in the {where}.",),
    "plaque": (
        "White matter lesions consistent with multiple sclerosis.",
        "Demyelinating plaques, in keeping with multiple sclerosis.",
    ),
    "meningioma": ("Meningioma along the {where}.", "{Where} meningioma."),
    "metastasis": ("Multiple brain metastases.", "Intracranial metastatic disease."),
    "subdural_haematoma acute": ("Acute subdural hematoma over the {where}.",),
    "subdural_haematoma subacute": ("Subacute subdural hematoma over the {where}.",),
    "subdural_haematoma chronic": ("Chronic subdural hematoma over the {where}.",),
    "haemorrhage acute": ("Acute intraparenchymal hemorrhage in the {where}.",),
    "haemorrhage subacute": ("Subacute intraparenchymal hemorrhage in the {where}.",),
    "arachnoid_cyst": ("Arachnoid cyst of the {where}.",),
    "cavernoma": ("Cavernous malformation in the {where}.", "{Where} cavernoma."),
    "abscess": ("Brain abscess in the {where}.",),
    "encephalomalacia": ("Encephalomalacia of the {where}, likely posttraumatic.",),
    "pituitary_adenoma": ("Pituitary macroadenoma.", "Pituitary adenoma."),
    "schwannoma": ("Vestibular schwannoma in the {where}.",),
    "colloid_cyst": ("Colloid cyst of the third ventricle.",),
}
NOTHING_ACUTE = "No acute intracranial abnormality"
NORMAL = ("Normal MRI of the brain", NOTHING_ACUTE, "Unremarkable brain MRI")
NORMAL_PATIENT = "{normal} in a {patient}."
DEMENTIA = ("Disproportionate hippocampal atrophy; Alzheimer's disease should be considered.",)
DEMENTIA_ATROPHY = (
    "Hippocampal and cerebral atrophy, a pattern that can be seen in Alzheimer's disease.",
    *DEMENTIA,
)
"""If the sulci are wide too."""
HYDROCEPHALUS = (
    "Hydrocephalus.",
    "Ventriculomegaly out of proportion to the sulci, in keeping with hydrocephalus.",
)
SMALL_VESSEL = (
    "{Degree} chronic small vessel ischemic disease.",
    "{Degree} chronic microvascular ischemic changes.",
)
VOLUME_LOSS = ("{Degree} cerebral atrophy.", "{Degree} generalized cerebral volume loss.")
