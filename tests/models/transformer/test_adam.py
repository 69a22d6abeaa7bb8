import torch

from models.transformer.adam import Adam


def test_steps_equal_those_of_torchs_adam() -> None:
    torch.manual_seed(0)
    mine = [torch.randn(4, 3, requires_grad=True), torch.randn(5, requires_grad=True)]
    reference = [weight.detach().clone().requires_grad_() for weight in mine]
    adam, torchs = Adam(mine), torch.optim.Adam(reference, lr=0.01, betas=(0.9, 0.99))
    for step in range(20):
        for weights, optimizer in ((mine, adam), (reference, torchs)):
            for weight in weights:
                weight.grad = torch.sin(weight.detach() * (step + 1))
            if isinstance(optimizer, Adam):
                optimizer.step(0.01)
            else:
                optimizer.step()
    for weight, expected in zip(mine, reference, strict=True):
        torch.testing.assert_close(weight, expected)


def test_weights_without_a_gradient_stay() -> None:
    weight = torch.ones(3, requires_grad=True)
    adam = Adam([weight])
    adam.step(0.1)
    weight.grad = torch.ones(3)
    adam.forget_gradients()
    adam.step(0.1)
    assert weight.tolist() == [1, 1, 1]
