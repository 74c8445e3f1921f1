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


STEP = (
    "import sys, gc; from src.lean import import_leanly; import_leanly(); import src.training.session\n"
    "import torch; from lightning.pytorch.utilities.compile import OptimizedModule\n"
    "network = torch.nn.Linear(3, 2); optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)\n"
    "def step(run):\n"
    "    optimizer.zero_grad(); run(torch.ones(2, 3)).sum().backward(); optimizer.step()\n"
    "step(network)\n"
)


def test_a_step_needs_nothing_of_torchs_compiler_but_what_stands_for_it() -> None:
    """Where it does, torch or Lightning has changed: `src.lean` stands in for too little, and the import is back."""
    said = run(
        STEP + "print([name for name in sys.modules if name.startswith(('torch._dynamo.', 'sympy'))])\n"
        "print(isinstance(network, OptimizedModule), gc.isenabled(), gc.get_freeze_count() > 100_000)\n"
    )
    assert said.splitlines() == ["[]", "False True True"]


def test_torchs_compiler_comes_into_its_place_when_it_is_needed() -> None:
    said = run(
        STEP + "compiled = torch.compile(network, backend='eager'); step(compiled); step(compiled)\n"
        "print(isinstance(compiled, OptimizedModule), isinstance(network, OptimizedModule))\n"
        "import torch._dynamo.utils as utils\n"
        "print(utils is sys.modules['torch._dynamo'].utils is torch._dynamo.utils)\n"
        "print(utils.__spec__.origin == utils.__file__)\n"
        "print(torch._dynamo.__file__.endswith('__init__.py'), utils.counters['stats']['unique_graphs'])\n"
    )
    assert said.splitlines() == ["True False", "True", "True", "True 1"]


def test_a_part_of_torchs_compiler_may_be_what_is_needed_first() -> None:
    said = run(
        STEP + "import torch._dynamo.utils as utils\n"
        "print(utils is sys.modules['torch._dynamo'].utils is torch._dynamo.utils)\n"
        "print(utils.__spec__.origin == utils.__file__)\n"
        "from torchvision.ops import roi_align\n"
        "print(roi_align(torch.ones(1, 1, 4, 4), torch.tensor([[0.0, 0, 0, 4, 4]]), 1).item())\n"
    )
    assert said.splitlines() == ["True", "True", "1.0"]
