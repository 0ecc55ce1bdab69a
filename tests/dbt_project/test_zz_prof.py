import os, time, datetime
from tests.dbt_project.warehouse import AdDay
def test_x(warehouse):
    d=datetime.date(2026,11,10)
    warehouse.account()
    warehouse.pull(d, AdDay("1",{9:("1.00",10,1)},{"purchase":"1"}))
    warehouse.build(d, tests=False)
    base=["build","--exclude-resource-type","unit_test","test","--exclude","path:seeds","--event-time-start","2026-11-10","--event-time-end","2026-11-11","--project-dir","dbt_project","--profiles-dir","dbt_project","--target-path",str(warehouse._target),"--log-path",str(warehouse._target/"logs"),"--quiet","--no-write-json"]
    keep=dict(os.environ)
    def go(name, extra):
        t=time.process_time(); w=time.time()
        r=warehouse._runner.invoke(base+extra); assert r.success
        print(name, "cpu %.2f wall %.2f"%(time.process_time()-t,time.time()-w))
    for _ in range(2):
        go("base",[])
        go("nolog",["--log-level-file","none"])
        go("nolog1",["--log-level-file","none","--threads","1"])
        go("nolog4",["--log-level-file","none","--threads","4"])
        small={k:v for k,v in keep.items() if k.startswith("META_ADS_DBT") or k in("PATH","HOME")}
        print(len(keep),len(small))
        for k in list(os.environ):
            if k not in small: del os.environ[k]
        go("nolog+env",["--log-level-file","none"])
        os.environ.update(keep)
