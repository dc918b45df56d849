from tests import scenario
def test_it(cast):
    import time
    t=time.time()
    p=scenario.awaiting_production(cast)
    print(p.state,p.outcome,[ (l['metric'],l['attribute'],l['value'],l['verdict']) for l in p.requirements], time.time()-t)
    assert p.state=="awaiting_approval"
    print(len(__import__('audits.models').models.Event.objects.all()))
