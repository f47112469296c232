"""RITM, a click network, through ``torch.hub`` (extra ``ritm``)."""
