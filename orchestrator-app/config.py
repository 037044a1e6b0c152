"""`from config import Config`: the settings of chatbot and servers, for programs.

cfg = Config()
cfg.generation.temperature = 0.3
cfg.quantization.enabled = True
cfg.lora.target_modules = ["q_proj", "v_proj"]
"""

from orchestrator_core.settings import Config, Settings, load_settings

__all__ = ["Config", "Settings", "load_settings"]
