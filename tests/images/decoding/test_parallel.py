import threading

import pytest

from examine_jax.images.decoding.parallel import Budget, available_cores, in_order


def test_results_come_in_the_order_of_the_items():
    assert available_cores() >= 1
    assert list(in_order(lambda item: item * item, range(1500))) == [
        item * item for item in range(1500)
    ]
    assert list(in_order(str, [])) == []


def test_items_are_taken_a_bounded_number_at_a_time():
    taken = []
    results = in_order(lambda item: item, (taken.append(i) or i for i in range(100_000)))
    assert next(results) == 0
    assert len(taken) < 2000
    results.close()


def test_an_error_reaches_the_caller():
    def fail_at_three(item):
        if item == 3:
            raise KeyError(item)
        return item

    with pytest.raises(KeyError):
        list(in_order(fail_at_three, range(10)))


def test_claims_never_exceed_the_budget_and_a_larger_one_is_served_alone():
    budget, lock = Budget(10), threading.Lock()
    held, highest = [], []

    def claim(amount):
        with budget.claim(amount):
            with lock:
                held.append(amount)
                highest.append(sum(held))
            with lock:
                held.remove(amount)

    threads = [
        threading.Thread(target=claim, args=(amount,)) for amount in [4, 7, 25, 3, 6, 10, 1] * 20
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(highest) == 140
    assert all(total <= 10 or total == 25 for total in highest)


def test_a_claim_is_returned_when_its_block_fails():
    budget = Budget(1)
    with pytest.raises(KeyError), budget.claim(1):
        raise KeyError
    with budget.claim(1):
        pass
