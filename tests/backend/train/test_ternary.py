"""Ternary layers: BitNet's forward pass, gradients straight through, codes that never change."""

import numpy as np
import pytest
import torch
from ternary import I2_S, TQ1_0, TQ2_0, ternary_values
from ternary import pack as file_bytes
from torch.autograd.graph import saved_tensors_hooks
from transformers.integrations.bitnet import AutoBitLinear, pack_weights

from backend.train.bases import ternary


def random_codes(rows=16, cols=256, seed=0):
    return torch.randint(-1, 2, (rows, cols), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("cols", [1, 3, 4, 255, 256])
def test_packing_is_undone_by_unpacking(cols):
    codes = random_codes(8, cols)
    packed = ternary.pack(codes)
    assert packed.dtype == torch.uint8
    assert packed.shape == (8, -(-cols // 4))
    assert torch.equal(ternary.unpack(packed, cols, torch.int8), codes.to(torch.int8))


@pytest.mark.parametrize("kind", [I2_S, TQ1_0, TQ2_0])
def test_codes_of_a_file_come_back_as_the_same_bytes(kind):
    codes, scale = random_codes(), np.float32(0.75)
    data = file_bytes((codes + 1).numpy().astype(np.uint8), scale, kind)
    values = ternary_values(data, (16, 256), kind)
    layer = ternary.TernaryLinear(torch.from_numpy(np.rint(values / scale)), float(scale))
    assert torch.equal(layer.codes(), codes.float())
    again = file_bytes((layer.codes() + 1).numpy().astype(np.uint8), layer.gamma.numpy(), kind)
    assert again == data


def test_the_layout_of_hugging_face_comes_back_as_the_same_bytes():
    from backend.train.bases.folder import rows_of_bytes, unpack_rows

    codes = random_codes()
    packed = pack_weights(codes.clone())
    assert torch.equal(unpack_rows(packed), codes.to(torch.int8))
    assert torch.equal(rows_of_bytes(unpack_rows(packed)), packed)


def test_the_forward_pass_and_the_gradient_are_those_of_transformers():
    torch.manual_seed(0)
    theirs = AutoBitLinear(64, 24, bias=False, online_quant=True)
    codes, gamma = ternary.absmean(theirs.weight.detach())
    ours = ternary.TernaryLinear(codes, gamma)
    x = torch.randn(3, 5, 64)
    made, gradients = [], []
    for layer in (ours, theirs):
        given = x.clone().requires_grad_(True)
        with torch.compiler.set_stance("force_eager"):
            y = layer(given)
        y.backward(torch.ones_like(y))
        made.append(y.detach())
        gradients.append(given.grad)
    assert torch.allclose(*made, rtol=1e-5, atol=1e-6)
    assert torch.allclose(*gradients, rtol=1e-5, atol=1e-6)


def test_nothing_of_the_input_is_kept():
    layer = ternary.TernaryLinear(random_codes(), 0.5)
    x = torch.randn(7, 256, requires_grad=True)
    kept = []
    with saved_tensors_hooks(lambda t: kept.append(tuple(t.shape)) or t, lambda t: t):
        layer(x)
    assert sorted(kept) == [(), (16, 64)]


def test_a_masters_layer_is_the_same_product_and_its_gradient_passes_straight_through():
    torch.manual_seed(0)
    plain = torch.nn.Linear(64, 24, bias=False)
    masters = ternary.MasterLinear.of(plain)
    assert masters.weight is plain.weight
    x = torch.randn(5, 64, requires_grad=True)
    codes, gamma = ternary.absmean(plain.weight.detach())
    frozen = ternary.TernaryLinear(codes, gamma)
    y = masters(x)
    assert torch.allclose(y, frozen(x), rtol=1e-5, atol=1e-6)
    g = torch.randn_like(y)
    y.backward(g)
    wanted = g.T @ ternary.quantise_tokens(x.detach())
    assert torch.allclose(plain.weight.grad, wanted, rtol=1e-5, atol=1e-6)


def test_gamma_is_kept_and_not_computed_again():
    """The mean of ternary weights is smaller by the share of zeros: never start from them."""
    torch.manual_seed(0)
    codes, gamma = ternary.absmean(torch.randn(64, 256))
    again_codes, smaller = ternary.absmean(codes * gamma)
    assert torch.equal(again_codes, codes)
    assert smaller / gamma == pytest.approx(codes.abs().mean().item(), rel=1e-5)
    assert smaller < 0.8 * gamma


def test_it_cannot_be_merged_into():
    layer = ternary.TernaryLinear(random_codes(), 0.5)
    with pytest.raises(AttributeError):
        layer.weight = torch.zeros(16, 256)
    assert torch.equal(layer.weight, layer.codes() * 0.5)
