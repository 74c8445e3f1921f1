"""What a training imports, and what it leaves until somebody needs it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

HEAVY = (
    "scipy.signal",
    "scipy.optimize",
    "scipy.stats",
    "sklearn",
    "joblib",
    "streamlit",
    "jinja2",
    "IPython",
    "wandb",
    "mlflow",
    "onnx",
)


def run(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    return result.stdout


def test_a_training_begins_without_what_it_does_not_use_and_gets_it_when_it_does() -> None:
    said = run(
        "import sys; from src.lean import import_leanly; import_leanly(); import src.training.session\n"
        "from src.data.sources.digits import read_digits\n"
        "from src.analysis.classification import per_class\n"
        "from src.analysis.maps import rank_correlation\n"
        "import numpy as np\n"
        "read_digits(); per_class(np.array([0, 1]), np.array([0, 0]), ['a', 'b'])\n"
        "rank_correlation(np.ones((1, 2, 2)), np.ones((1, 2, 2)))\n"
        f"print([name for name in {HEAVY} if name in sys.modules])\n"
        "from pytorch_grad_cam.utils import svd_on_activations\n"
        "print(type(svd_on_activations.KernelPCA(n_components=1)).__module__)\n"
        "import scipy.signal, sklearn.decomposition\n"
        "print(scipy.signal.__name__, hasattr(scipy.signal, 'convolve'), sklearn.decomposition.PCA.__name__)\n"
    )
    assert said.splitlines() == ["[]", "sklearn.decomposition._kernel_pca", "scipy.signal True PCA"]
