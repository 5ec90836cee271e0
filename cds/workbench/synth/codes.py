"""The codes that synthetic records use: standard ones where they exist, else those of the input profile."""

from __future__ import annotations

from collections.abc import Mapping

CANONICAL = "https://exowatch.example/fhir"
MARKER_SYSTEM = f"{CANONICAL}/CodeSystem/exosomal-marker"
METHOD_SYSTEM = f"{CANONICAL}/CodeSystem/exosomal-method"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
TREATMENT_INTENT = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-treatment-intent"
PROCEDURE_INTENT = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-procedure-intent"
_RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
_ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"

Codes = tuple[tuple[str, str], ...]

DRUGS: Mapping[str, Codes] = {
    name: ((_RXNORM, code),)
    for name, code in {
        "doxorubicin": "3639",
        "cyclophosphamide": "3002",
        "paclitaxel": "56946",
        "docetaxel": "72962",
        "carboplatin": "40048",
        "gemcitabine": "12574",
        "capecitabine": "194000",
        "eribulin": "1045453",
        "tamoxifen": "10324",
        "letrozole": "72965",
        "palbociclib": "1601374",
        "ribociclib": "1873916",
        "trastuzumab": "224905",
        "pertuzumab": "1298944",
        "pembrolizumab": "1547545",
        "atezolizumab": "1792776",
    }.items()
}
CONDITIONS: Mapping[str, tuple[Codes, str]] = {
    "invasive": (((SNOMED, "254837009"),), "Malignant neoplasm of breast"),
    "dcis": (((SNOMED, "109889007"), (_ICD_10_CM, "D05.10")), "Ductal carcinoma in situ of breast"),
    "liver": (((SNOMED, "94381002"),), "Liver metastasis"),
    "bone": (((SNOMED, "94222008"),), "Bone metastasis"),
    "infection": (((SNOMED, "91302008"), (_ICD_10_CM, "A41.9")), "Sepsis"),
    "pregnancy": (((SNOMED, "77386006"),), "Pregnancy"),
}
PROCEDURES: Mapping[str, tuple[Codes, str]] = {
    "lumpectomy": (((SNOMED, "64368001"),), "Partial mastectomy"),
    "mastectomy": (((SNOMED, "172043006"),), "Simple mastectomy"),
    "radiotherapy": (((SNOMED, "108290001"),), "Radiotherapy"),
    "transfusion": (((SNOMED, "116859006"),), "Transfusion of blood product"),
}
RECEPTORS: Mapping[str, str] = {"er": "85337-4", "pr": "85339-0", "her2": "85319-2"}
SPECIMENS: Mapping[str, str] = {"serum": "119364003", "plasma": "119361006"}
